// A stretch of one matrix in scan order, on its way through a quantizer. Memory is kept for the next one.
#pragma once

#include <vector>

#include "core.h"
#include "scan.h"

namespace incnnr {

// What lies before a weight of a piece.
struct ScanEvent {
    size_t index;            // of the weight; the number of weights for what follows the last
    bool begins_block_row;   // the neighbour is forgotten
    size_t n_zeros;          // a skipped row moves the state as so many zeros do
};

// Vector code reads and writes four numbers at a time: arrays are this much longer than what they hold.
constexpr size_t padding = 3;

struct Piece {
    size_t n_weights = 0;         // without skipped rows
    std::vector<float> weights;   // padded
    std::vector<int32_t> levels;  // padded; the quantizer's result
    std::vector<ScanEvent> events;
    bool ends_in_state_0 = false; // another piece follows

    // Takes positions `first` to `end` of the job's scan order.
    void load(const NncQuantization& job, size_t first, size_t end);
    void store_levels(const NncQuantization& job, size_t first, size_t end) const;
};

}  // namespace incnnr
