// Loops over the arrays of a slice. They see nothing else, so that compilers do several elements at once.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lanes.h"
#include "level_contexts.h"
#include "numbers.h"

namespace incnnr {

// Calls f(first, n) for pieces of a slice whose arrays are still in the cache when the next loop comes.
template <class F>
void in_pieces(size_t n_elements, F f) {
    constexpr size_t most = 4096;
    for (size_t first = 0; first < n_elements; first += most) f(first, std::min(most, n_elements - first));
}

template <Kind kind, class Real>
void subtract(const uint8_t* __restrict to, const uint8_t* __restrict from, Real* __restrict differences, size_t n) {
    for (size_t i = 0; i < n; ++i) differences[i] = RealOf<kind>::value(NumberOf<kind>::load(to, i)) - RealOf<kind>::value(NumberOf<kind>::load(from, i));
}

template <class Real>
double finite_energy(const Real* numbers, size_t n) {
    Lanes squares{};
    in_lanes(n, [&](unsigned lane, size_t i) {
        const auto number = static_cast<double>(numbers[i]);
        const double finite = std::fabs(number) <= std::numeric_limits<double>::max() ? number : 0;
        squares[lane] += finite * finite;
    });
    return sum(squares);
}

template <Kind kind, class Real>
void drop_where_not_finite(const uint8_t* __restrict reference, Real* __restrict numbers, size_t n) {
    for (size_t i = 0; i < n; ++i)
        numbers[i] = std::fabs(RealOf<kind>::value(NumberOf<kind>::load(reference, i))) <= std::numeric_limits<Real>::max() ? numbers[i] : 0;
}

// 0 where no level is in reach.
template <class Real>
void in_steps(const Real* __restrict numbers, double steps_per_one, float* __restrict scaled, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const double steps = static_cast<double>(numbers[i]) * steps_per_one;
        scaled[i] = static_cast<float>(std::fabs(steps) < largest_index ? steps : 0);
    }
}

template <Kind kind>
void take_signs(const uint8_t* __restrict numbers, int8_t* __restrict signs, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const auto value = RealOf<kind>::value(NumberOf<kind>::load(numbers, i));
        signs[i] = static_cast<int8_t>((value > 0) - (value < 0));
    }
}

inline double sum_of_magnitudes(const float* numbers, size_t n) {
    Lanes magnitudes{};
    in_lanes(n, [&](unsigned lane, size_t i) { magnitudes[lane] += std::fabs(static_cast<double>(numbers[i])); });
    return sum(magnitudes);
}

inline void round_to_indices(const float* __restrict scaled, float offset, int32_t* __restrict indices, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const auto magnitude = static_cast<int32_t>(std::fabs(scaled[i]) * 0.5f + offset);
        indices[i] = scaled[i] < 0 ? -magnitude : magnitude;
    }
}

// Where nothing is added the reference's bits stay, NaN payloads and the sign of zero included.
template <Kind kind, class Real>
void add_levels(const uint8_t* __restrict from, const Real* __restrict predictions, const int32_t* __restrict levels, Real step, uint8_t* __restrict to, size_t n) {
    using N = NumberOf<kind>;
    for (size_t i = 0; i < n; ++i) {
        const Real moved = static_cast<Real>(levels[i]) * step;
        const Real added = predictions[i] + (levels[i] != 0 ? moved : 0);  // a step that no level can have may be infinite
        const auto before = N::load(from, i);
        const auto after = RealOf<kind>::bits(RealOf<kind>::value(before) + added);
        N::store(to, i, added == 0 ? before : after);
    }
}

template <Kind kind>
size_t n_unequal(const uint8_t* a, const uint8_t* b, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; ++i) count += NumberOf<kind>::load(a, i) != NumberOf<kind>::load(b, i);
    return count;
}

template <Kind kind>
void mark_unequal(const uint8_t* a, const uint8_t* b, uint8_t* bits, size_t n) {
    for (size_t i = 0; i < n; ++i) bits[i / 8] |= static_cast<uint8_t>((NumberOf<kind>::load(a, i) != NumberOf<kind>::load(b, i)) << (i % 8));
}

}  // namespace incnnr
