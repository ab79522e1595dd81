// What the coded indices of a quantizer cost, in units of its squared error: the rate model of rate-distortion choices.
#pragma once

#include <array>

#include "trellis.h"

namespace incnnr {

// The sign of the index before, as contexts see it.
enum Neighbour : unsigned { neighbour_zero = 0, neighbour_negative = 1, neighbour_positive = 2 };
constexpr unsigned n_neighbours = 3;

inline Neighbour neighbour_of(int32_t index) {
    return index == 0 ? neighbour_zero : index < 0 ? neighbour_negative : neighbour_positive;
}

// Magnitudes from the last one on cost the same.
constexpr int32_t n_priced_magnitudes = 64;

// Plain tables, whatever model they come from.
struct IndexPrices {
    ByState<Float4> zero[n_neighbours];
    ByState<Float4> nonzero[n_neighbours][2];                   // [..][is negative], the sign included
    std::array<float, n_priced_magnitudes> magnitude[2];  // [is negative][|index|]; 0 is no way
};

}  // namespace incnnr
