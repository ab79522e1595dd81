// What a weight may become in dependent quantization: 0, or the nearest level but 0 of each residue modulo 4, which the even
// states (0 and 2) and the odd ones (1 and 3) have by the parity of the index.
#pragma once

#include <cmath>

#include "index_prices.h"

namespace incnnr {

constexpr size_t tile_weights = 64;

// Costs of the candidates for a tile's weights, prices of significance and sign aside.
struct Candidates {
    Float4 zero[tile_weights / 4];
    Float4 other[4][tile_weights / 4];  // the nearest level but zero of each residue modulo 4
    Mask4 magnitude_class[4][tile_weights / 4];

    float of_zero(size_t i) const { return reinterpret_cast<const float*>(zero)[i]; }
    float& of_other(int residue, size_t i) { return reinterpret_cast<float*>(other[residue])[i]; }
    unsigned class_of(int residue, size_t i) const { return static_cast<unsigned>(reinterpret_cast<const int32_t*>(magnitude_class[residue])[i]); }
};

inline void measure(Candidates& candidates, const int32_t* bases, const float* fractions, MagnitudeClasses classes, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        const auto base = load<Mask4>(bases + i);
        const auto x = load<Float4>(fractions + i);
        const Float4 scaled = __builtin_convertvector(base, Float4) + x;
        candidates.zero[i / 4] = scaled * scaled;
        for (int residue = 0; residue < 4; ++residue) {
            const Mask4 level = base + residue - ((x < static_cast<float>(residue - 2)) & 4);  // -1: none, magnitude 0
            const Float4 distance = x - __builtin_convertvector(level - base, Float4);
            candidates.other[residue][i / 4] = distance * distance;
            candidates.magnitude_class[residue][i / 4] = classes.of((level + 1) >> 1);
        }
    }
}

// Of the nearest level but zero of that residue.
inline int32_t index_of(int32_t base, float x, int32_t residue) {
    return (base + residue - 4 * (x < static_cast<float>(residue - 2)) + 1) >> 1;
}

template <class Lanes>
inline ByState<Lanes> choose(const ByState<Mask4>& condition, const ByState<Lanes>& yes, const ByState<Lanes>& no) {
    return {condition.even ? yes.even : no.even, condition.odd ? yes.odd : no.odd};
}

inline ByState<Float4> plus(const ByState<Float4>& a, const ByState<Float4>& b) { return {a.even + b.even, a.odd + b.odd}; }
inline ByState<Float4> plus(const ByState<Float4>& a, float even, float odd) { return {a.even + all_lanes(even), a.odd + all_lanes(odd)}; }

}  // namespace incnnr
