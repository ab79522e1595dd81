// Scales of a tensor's step, in 1/1024 of an octave.
#pragma once

#include <algorithm>
#include <cmath>

#include "core.h"

namespace incnnr {

constexpr int32_t most_scale = scales_per_octave << 7;

inline bool is_within(int32_t number, int32_t most) { return number >= -most && number <= most; }

// 1 at scale 0, twice as much every octave, linear in between, as the standard's step sizes are.
inline double multiplier(int32_t scale) { return std::ldexp(scales_per_octave + (scale & (scales_per_octave - 1)), (scale >> 10) - 10); }

// The greatest scale with no more than this multiplier, so far as there is one.
inline int32_t scale_of(double wanted) {
    const double reached = std::clamp(wanted, multiplier(-most_scale), multiplier(most_scale));
    const int octave = std::ilogb(reached);
    return octave * scales_per_octave + static_cast<int32_t>((std::ldexp(reached, -octave) - 1) * scales_per_octave);
}

}  // namespace incnnr
