// How far weights are from what they should be.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core.h"
#include "lanes.h"
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

// Whether that may be so of any of them; false is certain. `sure` is below what each may be off by.
template <Kind kind, class Float = typename RealOf<kind>::Real>
bool any_may_miss(const uint8_t* got, const uint8_t* wanted, size_t n, Float sure) {
    using N = NumberOf<kind>;
    uint32_t n_suspects = 0;
    for (size_t i = 0; i < n; ++i) {
        const auto is = N::load(got, i), should_be = N::load(wanted, i);
        const Float gap = std::fabs(RealOf<kind>::value(is) - RealOf<kind>::value(should_be));
        n_suspects |= static_cast<uint32_t>(!(gap <= sure)) | (static_cast<uint32_t>(should_be == N::sign_bit) & static_cast<uint32_t>(is != should_be));
    }
    return n_suspects != 0;
}

inline void note_error(Segment& segment, double error) {
    if (!std::isfinite(error)) return;
    segment.largest_error = std::max(segment.largest_error, error);
    segment.squared_error += error * error;
}

template <Kind kind>
void note_errors(Segment& segment, const uint8_t* got, const uint8_t* wanted, size_t n) {
    Lanes largest{}, squares{};
    in_lanes(n, [&](unsigned lane, size_t i) {
        const double error = error_of<kind>(NumberOf<kind>::load(got, i), NumberOf<kind>::load(wanted, i));
        const double finite = error <= std::numeric_limits<double>::max() ? error : 0;
        largest[lane] = finite > largest[lane] ? finite : largest[lane];
        squares[lane] += finite * finite;
    });
    segment.largest_error = std::max(segment.largest_error, *std::max_element(largest.begin(), largest.end()));
    segment.squared_error += sum(squares);
}

}  // namespace incnnr
