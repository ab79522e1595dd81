// The distances within a slice at which signs are most alike: of pixels one above the other, of channels.
#pragma once

#include <cstddef>

#include "signs.h"

namespace incnnr {

// Those to code with after `known` ones, from what is left to code of each weight.
template <class Real>
Distances choose_distances(const Real* rests, size_t n_weights, size_t width, const Distances& known);

}  // namespace incnnr
