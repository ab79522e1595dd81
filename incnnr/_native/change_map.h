// Which elements of a chunk change: a bit for each.
#pragma once

#include <cstdint>

#include "hazard_clock.h"
#include "numbers.h"
#include "wide_vectors.h"

namespace incnnr {

class ChangeMap {
public:
    template <class N>
    void compare(const uint8_t* from, const uint8_t* to, unsigned n) {
        constexpr unsigned n_bytes = sizeof(typename N::Word);
        n_ = n;
        unsigned i = n_bytes == 2 ? compare_wide(from, to, n, bits_) : 0;
        for (; i + 64 <= n; i += 64) bits_[i / 64] = changes_of_64<N>(from + i * n_bytes, to + i * n_bytes);
        if (i < n) bits_[i / 64] = 0;
        for (; i < n; ++i) bits_[i / 64] |= uint64_t{N::load(from, i) != N::load(to, i)} << (i % 64);
        n_changed_ = 0;
        for (i = 0; i < n; i += 64) n_changed_ += n_ones(bits_[i / 64]);
    }

    unsigned n_changed() const { return n_changed_; }

    // In [start, stop), which is not empty and within 64 elements from a multiple of 64.
    bool any(unsigned start, unsigned stop) const { return within(start, stop) != 0; }
    unsigned first(unsigned start, unsigned stop) const { return start + lowest_one(within(start, stop)); }

    void list(uint16_t* changed) const {
        for (unsigned i = 0; i < n_; i += 64)
            for (uint64_t bits = bits_[i / 64]; bits != 0; bits &= bits - 1) *changed++ = static_cast<uint16_t>(i + lowest_one(bits));
    }

private:
    uint64_t within(unsigned start, unsigned stop) const { return bits_[start / 64] >> (start % 64) & ~uint64_t{0} >> (64 - (stop - start)); }
    static unsigned lowest_one(uint64_t bits) { return static_cast<unsigned>(__builtin_ctzll(bits)); }

    template <class N>
    static uint64_t changes_of_64(const uint8_t* a, const uint8_t* b) {
        uint8_t differ[64];
        for (unsigned j = 0; j < 64; ++j) differ[j] = N::load(a, j) != N::load(b, j);
        uint64_t bits = 0;
        for (unsigned j = 0; j < 64; j += 8) {
            uint64_t bytes = 0;
            for (unsigned k = 0; k < 8; ++k) bytes |= uint64_t{differ[j + k]} << (8 * k);
            bits |= (bytes * 0x0102040810204080u >> 56) << j;
        }
        return bits;
    }

    static unsigned n_ones(uint64_t bits) {
        bits -= bits >> 1 & 0x5555555555555555u;
        bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
        return static_cast<unsigned>(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
    }

    uint64_t bits_[chunk_elements / 64];
    unsigned n_ = 0;
    unsigned n_changed_ = 0;
};

}  // namespace incnnr
