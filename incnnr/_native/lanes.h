// Sums that are made in lanes, which compilers keep in vectors. Which element goes to which lane is fixed, so that the sum
// is the same on every machine.
#pragma once

#include <array>
#include <cstddef>

namespace incnnr {

constexpr unsigned n_lanes = 4;
using Lanes = std::array<double, n_lanes>;

// Calls f(lane, i) for all i below n.
template <class F>
[[gnu::always_inline]] inline void in_lanes(size_t n, F f) {
    size_t i = 0;
    for (; i + n_lanes <= n; i += n_lanes)
        for (unsigned lane = 0; lane < n_lanes; ++lane) f(lane, i + lane);
    for (; i < n; ++i) f(static_cast<unsigned>(i % n_lanes), i);
}

inline double sum(const Lanes& lanes) { return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]); }

}  // namespace incnnr
