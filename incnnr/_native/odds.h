// Probability of a one that stays as it is throughout a chunk and learns from counts behind it: what is coded next does
// not have to wait for what was coded before.
#pragma once

#include <algorithm>
#include <cstdint>

namespace incnnr {

struct Odds {
    uint32_t one;   // in 2^-32
    uint32_t seen;  // decisions it is worth

    // In [1, 2^22 - 1], in units of 2^-22.
    uint32_t probability() const { return one >> 10 | 1; }

    // Saved odds may be any numbers. 0 < n_seen < 2^16.
    void learn(uint32_t n_ones, uint32_t n_seen) {
        const uint64_t before = std::min(seen, most_seen);
        const uint64_t all = before + n_seen;
        one = static_cast<uint32_t>(std::min<uint64_t>((one * before + (uint64_t{n_ones} << 32)) / all, ~uint32_t{0}));
        seen = static_cast<uint32_t>(std::min<uint64_t>(all, most_seen));
    }

private:
    static constexpr uint32_t most_seen = 1023;
};

constexpr Odds even_odds{1u << 31, 2};

// Counts of ones and of all decisions since odds learned last, in the upper and the lower half.
using Tally = uint32_t;

inline void learn(Odds& odds, Tally& tally) {
    if (tally == 0) return;
    odds.learn(tally >> 16, tally & 0xffffu);
    tally = 0;
}

}  // namespace incnnr
