// How far weights are from what they should be.
#pragma once

#include <algorithm>
#include <cmath>

#include "core.h"
#include "numbers.h"

namespace incnnr {

template <Kind kind>
double error_of(typename NumberOf<kind>::Word got, typename NumberOf<kind>::Word wanted) {
    return std::fabs(static_cast<double>(RealOf<kind>::value(got)) - static_cast<double>(RealOf<kind>::value(wanted)));
}

// Whether a reconstructed weight must be replaced by the exact one.
template <Kind kind>
bool misses(typename NumberOf<kind>::Word got, typename NumberOf<kind>::Word wanted, double max_error) {
    if (got == wanted) return false;
    const double value = static_cast<double>(RealOf<kind>::value(wanted));
    if (!std::isfinite(value) || wanted == NumberOf<kind>::sign_bit) return true;
    const double error = error_of<kind>(got, wanted);
    return !(std::isfinite(error) && error <= max_error);
}

inline void note_error(Segment& segment, double error) {
    if (!std::isfinite(error)) return;
    segment.largest_error = std::max(segment.largest_error, error);
    segment.squared_error += error * error;
}

}  // namespace incnnr
