// Adaptive probability of one binary decision: the mean of a fast and a slow estimate.
//
// Both start as plain counting (step 1/(n + 1.5) after n decisions) and slow down to fixed rates, 2^-6 and 2^-10 for
// weights, so that a context is useful after a handful of decisions and still fine enough for very sparse updates.
#pragma once

#include <algorithm>
#include <array>

#include "core.h"

namespace incnnr {

constexpr unsigned probability_bits = 22;
constexpr uint32_t count_mask = 1023;

// Rates are 1/(n + 1.5) after n decisions until they reach 2^-shift; the counter stops where the slow one does.
template <unsigned fast, unsigned slow>
struct Rates {
    static constexpr unsigned fast_shift = fast;
    static constexpr unsigned slow_shift = slow;
    static constexpr uint32_t last_count = (1u << slow) - 1;
};
using WeightRates = Rates<6, 10>;
using FlagRates = Rates<3, 5>;

constexpr std::array<uint32_t, count_mask + 1> make_steps() {
    std::array<uint32_t, count_mask + 1> steps{};
    for (uint32_t n = 0; n < steps.size(); ++n) steps[n] = 2 * 65536 / (2 * n + 3);
    return steps;
}
inline constexpr std::array<uint32_t, count_mask + 1> adaptation_step = make_steps();  // 2^16 / (n + 1.5)

inline Context fresh_context() { return {uint32_t{1} << 31, uint32_t{1} << 31}; }

// In [1, 2^22 - 1], in units of 2^-22.
inline uint32_t probability_of_one(const Context& context) {
    return (((context.fast >> 10) + (context.slow >> 10)) >> 1) | 1;
}

// Moves both estimates towards the bit. What shrinks is the probability of the other bit, so both bits round alike.
template <class R>
[[gnu::always_inline]] inline void adapt(Context& context, bool bit) {
    const uint32_t count = context.fast & count_mask;
    const uint32_t flip = bit ? ~uint32_t{0} : 0;
    uint32_t fast = (context.fast ^ flip) & ~count_mask;
    uint32_t slow = context.slow ^ flip;
    if (count >= R::last_count) {
        fast -= fast >> R::fast_shift;
        slow -= slow >> R::slow_shift;
    } else {
        const uint64_t step = adaptation_step[count];
        fast -= static_cast<uint32_t>(fast * std::max<uint64_t>(step, 65536u >> R::fast_shift) >> 16);
        slow -= static_cast<uint32_t>(slow * step >> 16);
    }
    context.fast = ((fast ^ flip) & ~count_mask) | std::min(count + 1, R::last_count);
    context.slow = slow ^ flip;
}

}  // namespace incnnr
