// Arrays that coding a slice needs beside its weights. They are kept for the next slice: fresh memory takes the system as long
// as much of the work.
#pragma once

#include <tuple>
#include <vector>

#include "level_search.h"

namespace incnnr {

template <class Real>
struct SliceArrays {
    std::vector<uint8_t> zeros;         // a reference, where there is none
    std::vector<Real> rests;            // differences to the reference, without what is predicted of them
    std::vector<Real> predictions;
    std::vector<float> scaled;          // rests in steps, 0 where no level is in reach
    std::vector<uint32_t> movements;    // of each weight in the updates before, between rows of zeros
    std::vector<uint32_t> moved;        // what they let expect of each weight
    std::vector<int8_t> directions;     // signs of the first running mean
    std::vector<int8_t> signs;          // signs of the reference
    std::vector<int32_t> indices;
    std::vector<int32_t> levels;
    Neighbourhood::Arrays around;
    LevelSearch search;
};

using Workspace = std::tuple<SliceArrays<float>, SliceArrays<double>>;

}  // namespace incnnr
