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

template <unsigned fast_shift, unsigned slow_shift>
struct Rates {
    static constexpr uint32_t fast_limit = (1u << fast_shift) - 2;
    static constexpr uint32_t slow_limit = (1u << slow_shift) - 2;
};
using WeightRates = Rates<6, 10>;
using FlagRates = Rates<3, 5>;

constexpr std::array<uint32_t, 1023> make_steps() {
    std::array<uint32_t, 1023> steps{};
    for (uint32_t n = 0; n < steps.size(); ++n) steps[n] = 2 * 65536 / (2 * n + 3);
    return steps;
}
inline constexpr std::array<uint32_t, 1023> adaptation_step = make_steps();  // 2^16 / (n + 1.5)

inline Context fresh_context() { return {uint32_t{1} << 31, uint32_t{1} << 31}; }

// In [1, 2^22 - 1], in units of 2^-22.
inline uint32_t probability_of_one(const Context& context) {
    return (((context.fast >> 10) + (context.slow >> 10)) >> 1) | 1;
}

template <class R>
inline void adapt(Context& context, bool bit) {
    const uint32_t count = context.fast & count_mask;
    const auto move = [bit](uint32_t from, uint32_t step) {
        const int64_t to = bit ? 0xffffffffLL : 0;
        return static_cast<uint32_t>(from + ((to - static_cast<int64_t>(from)) * static_cast<int64_t>(step) >> 16));
    };
    const uint32_t fast = move(context.fast & ~count_mask, adaptation_step[std::min(count, R::fast_limit)]);
    context.fast = (fast & ~count_mask) | std::min(count + 1, R::slow_limit);
    context.slow = move(context.slow, adaptation_step[count]);
}

}  // namespace incnnr
