// How often elements change, learned for classes of elements.
#pragma once

#include <algorithm>
#include <cstdint>

namespace incnnr {

constexpr unsigned n_buckets = 64;  // of an element's order of magnitude
constexpr unsigned n_pasts = 16;    // of what it did before, see history.h

// A hazard is the expected number of changes, as if an element could change more than once, in units of 2^-20.
constexpr unsigned hazard_bits = 20;

template <unsigned n>
struct ChangeRates {
    uint32_t changed[n];  // in sixteenths
    uint32_t seen[n];
    uint32_t hazard[n];   // follows from the two

    void reset() {
        for (unsigned i = 0; i < n; ++i) changed[i] = seen[i] = 0, hazard[i] = hazard_of(0, 0);
    }

    // Older elements count less once there are many.
    void learn(unsigned i, uint32_t n_changed, uint32_t n_seen) {
        uint32_t c = changed[i] + 16 * n_changed;
        uint32_t s = seen[i] + n_seen;
        if (s > most_seen) c >>= 1, s >>= 1;
        changed[i] = c;
        seen[i] = s;
        hazard[i] = hazard_of(c, s);
    }

private:
    static constexpr uint32_t most_seen = 1u << 16;

    // About -ln(1 - p), below 2^21, for p = (c / 16 + 1/2) / (s + 16). Saved rates may be any numbers.
    static uint32_t hazard_of(uint32_t changed_sixteenths, uint32_t s) {
        const uint64_t c = std::min<uint64_t>(changed_sixteenths, 16 * uint64_t{s} + 8);
        return static_cast<uint32_t>(((c + 8) << hazard_bits) / (16 * uint64_t{s} + 256 - c / 2)) | 1;
    }
};

}  // namespace incnnr
