// The clock of one chunk: hazards of its elements, added up, and cut into stretches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "change_rates.h"
#include "wide_vectors.h"

namespace incnnr {

constexpr unsigned chunk_elements = 2048;
constexpr unsigned stretch_elements = 64;  // at most

// Elements of a chunk that are asked together whether any of them changes: a power of two of them, at a multiple of it.
struct Stretch {
    uint16_t start;
    uint16_t stop;
};

class HazardClock {
public:
    // classes[i] < n_classes says which hazard element i has.
    void wind(const uint16_t* classes, unsigned n, const uint32_t* hazards, unsigned n_classes) {
        uint32_t time = 0;
        size_t i = n_classes == n_buckets ? wind_wide(classes, n, hazards, times_, time) : 0;
        for (; i + 4 <= n; i += 4) {
            // Two times in one word: compilers would rather gather four in a vector, which is slower.
            const uint64_t first = hazards[classes[i]];
            const uint64_t two = first + hazards[classes[i + 1]];
            const uint64_t three = two + hazards[classes[i + 2]];
            store_pair(i, time, time + first);
            store_pair(i + 2, time + two, time + three);
            time += static_cast<uint32_t>(three + hazards[classes[i + 3]]);
        }
        for (; i < n; ++i) {
            times_[i] = time;
            time += hazards[classes[i]];
        }
        std::fill_n(times_ + n, stretch_elements, time);
    }

    // Where element i begins; for the number of elements, where the last one ends.
    uint32_t at(unsigned i) const { return times_[i]; }

    // Cuts n elements into stretches of about the hazard `usual`. Returns how many stretches that makes.
    unsigned cut(unsigned n, uint32_t usual, Stretch* stretches) const {
        unsigned most_elements = stretch_elements;
        while (most_elements > 1 && uint64_t{most_elements} * times_[n] > uint64_t{n} * usual) most_elements /= 2;
        unsigned n_stretches = 0;
        for (unsigned i = 0; i < n;) {
            unsigned size = std::min(i == 0 ? most_elements : i & (0 - i), most_elements);
            while (size > 1 && (i + size > n || times_[i + size] - times_[i] > 2 * usual)) size /= 2;
            stretches[n_stretches++] = {static_cast<uint16_t>(i), static_cast<uint16_t>(i + size)};
            i += size;
        }
        return n_stretches;
    }

    // The element at a time after the start of element i, in the same stretch.
    unsigned element_at(unsigned i, uint32_t time) const {
        const uint32_t start = times_[i];
        const auto t = static_cast<int32_t>(time);
        unsigned n_groups = 0;
        for (unsigned j = 1; j < 8; ++j) n_groups += static_cast<int32_t>(times_[i + 8 * j] - start) <= t;
        i += 8 * n_groups;
        unsigned n_before = 0;
        for (unsigned j = 1; j < 8; ++j) n_before += static_cast<int32_t>(times_[i + j] - start) <= t;
        return i + n_before;
    }

private:
    void store_pair(size_t i, uint64_t first, uint64_t second) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        std::swap(first, second);
#endif
        const uint64_t both = (first & 0xffffffffu) | second << 32;
        std::memcpy(times_ + i, &both, sizeof both);
    }

    uint32_t times_[chunk_elements + stretch_elements];
};

// How fast changes come just now, as the mean hazard between two of them: 2^20 where the rates are right.
class Pace {
public:
    // A length that makes a change about as likely as none.
    uint32_t stretch() const { return static_cast<uint32_t>(std::clamp<uint64_t>(hazard_ / n_changes_, slowest, fastest) * 11 / 16); }

    void learn(uint32_t hazard, unsigned n_changes) {
        hazard_ = hazard_ / 2 + hazard + (uint64_t{2} << hazard_bits);
        n_changes_ = n_changes_ / 2 + n_changes + 2;
    }

private:
    static constexpr uint64_t slowest = 1u << 14;
    static constexpr uint64_t fastest = 1u << 24;

    uint64_t hazard_ = uint64_t{4} << hazard_bits;
    uint64_t n_changes_ = 4;
};

}  // namespace incnnr
