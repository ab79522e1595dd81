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

// Magnitudes that share a price: 1, 2, ..., n_single each have their own, octaves follow. Place 0 is no magnitude's.
struct MagnitudeClasses {
    static constexpr int32_t most_single = 63;
    static constexpr unsigned most = 1 + most_single + 32;

    int32_t n_single;

    unsigned of(int32_t magnitude) const {
        if (magnitude <= n_single) return static_cast<unsigned>(magnitude);
        return static_cast<unsigned>(n_single + 32 - __builtin_clz(static_cast<unsigned>(magnitude - n_single)));
    }

    // Where float rounds up to the next octave, that one's.
    Mask4 of(Mask4 magnitudes) const {
        const auto beyond = reinterpret_cast<Mask4>(__builtin_convertvector(magnitudes - n_single, Float4));
        return magnitudes <= n_single ? magnitudes : (beyond >> 23) - 126 + n_single;
    }
};

// Plain tables, whatever model they come from.
struct IndexPrices {
    ByState<Float4> zero[n_neighbours];
    ByState<Float4> nonzero[n_neighbours][2];              // [..][is negative], the sign included
    std::array<float, MagnitudeClasses::most> magnitude[2];  // [is negative][class]; place 0 is out of reach
    MagnitudeClasses classes;
};

}  // namespace incnnr
