// The 8-state trellis of dependent quantization (ISO/IEC 15938-17).
//
// A weight's coded index k moves the state by its parity. Even states have the levels 2k, odd states 2k - sgn(k). The
// states are kept in an order that makes a step two shuffles: targets 0..3 come from the even states, targets 4..7 from
// the odd ones, and the branches of parity 1 are those of parity 0 with the halves swapped.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace incnnr {

using Float4 = float __attribute__((vector_size(16)));
using Mask4 = int32_t __attribute__((vector_size(16)));  // each lane 0 or -1

inline Float4 all_lanes(float x) { return Float4{x, x, x, x}; }

template <class Lanes, class Number>
inline Lanes load(const Number* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

template <class Lanes, class Number>
inline void store(Number* to, const Lanes& lanes) {
    std::memcpy(to, &lanes, sizeof lanes);
}

inline unsigned lane_bits(Mask4 mask) {
#ifdef __SSE2__
    return static_cast<unsigned>(__builtin_ia32_movmskps(reinterpret_cast<Float4>(mask)));
#else
    mask &= Mask4{1, 2, 4, 8};
    return static_cast<unsigned>(mask[0] | mask[1] | mask[2] | mask[3]);
#endif
}

template <class Lanes>
inline Lanes swap_halves(Lanes a) { return Lanes{a[2], a[3], a[0], a[1]}; }

// One value for each state.
template <class Lanes>
struct ByState {
    Lanes even;  // states 0, 2, 4, 6
    Lanes odd;   // states 7, 5, 3, 1

    // From the values of targets 0..3 and 4..7.
    static ByState of_targets(Lanes low, Lanes high) {
        return {Lanes{low[0], low[2], high[0], high[2]}, Lanes{high[3], high[1], low[3], low[1]}};
    }
};

// What the best ways into targets 0..3 and 4..7 cost, and whether they have parity 1.
struct Arrival {
    Float4 low;
    Float4 high;
    Mask4 low_parity;
    Mask4 high_parity;

    ByState<Float4> costs() const { return ByState<Float4>::of_targets(low, high); }
    unsigned parities() const { return lane_bits(low_parity) | lane_bits(high_parity) << 4; }  // bit t: of target t
};

// From the costs of leaving the states with parity 0, and of leaving the states with swapped halves with parity 1. At
// equal cost parity 0 is kept.
inline Arrival arrive(const ByState<Float4>& parity0, const ByState<Float4>& parity1) {
    const Mask4 low = parity1.even < parity0.even;
    const Mask4 high = parity1.odd < parity0.odd;
    return {low ? parity1.even : parity0.even, high ? parity1.odd : parity0.odd, low, high};
}

// source_of[target][parity]
inline constexpr uint8_t source_of[8][2] = {{0, 4}, {2, 6}, {4, 0}, {6, 2}, {7, 3}, {5, 1}, {3, 7}, {1, 5}};

inline unsigned state_before_zeros(unsigned state, unsigned n) {
    for (unsigned i = 0; i < n; ++i) state = source_of[state][0];
    return state;
}

inline unsigned state_after_zeros(unsigned state, unsigned n) {
    constexpr uint8_t target[8] = {0, 7, 1, 6, 2, 5, 3, 4};
    for (unsigned i = 0; i < n; ++i) state = target[state];
    return state;
}

// In one state, all others too dear to be a way.
constexpr float unreachable = 1e30f;
inline ByState<Float4> only_in(unsigned state) {
    ByState<Float4> costs = {all_lanes(unreachable), all_lanes(unreachable)};
    if (state % 2 == 0)
        costs.even[state / 2] = 0;
    else
        costs.odd[3 - state / 2] = 0;
    return costs;
}

// Carried along by n zeros.
template <class Lanes>
inline ByState<Lanes> after_zeros(ByState<Lanes> values, unsigned n) {
    for (unsigned i = 0; i < n; ++i) values = ByState<Lanes>::of_targets(values.even, values.odd);
    return values;
}

inline float smallest(const ByState<Float4>& costs) {
    const Float4 four = costs.odd < costs.even ? costs.odd : costs.even;
    const Float4 two = swap_halves(four) < four ? swap_halves(four) : four;
    return two[1] < two[0] ? two[1] : two[0];
}

// The state, the first of equals.
inline unsigned cheapest(const ByState<Float4>& costs) {
    const std::array<float, 8> in_order = {costs.even[0], costs.odd[3], costs.even[1], costs.odd[2],
                                           costs.even[2], costs.odd[1], costs.even[3], costs.odd[0]};
    return static_cast<unsigned>(std::min_element(in_order.begin(), in_order.end()) - in_order.begin());
}

}  // namespace incnnr
