// Weights of one matrix that follow each other in scan order, on their way through a quantizer. Memory is kept for the
// next ones.
#pragma once

#include <vector>

#include "core.h"
#include "scan.h"

namespace incnnr {

// Vector code reads and writes four numbers at a time: arrays are this much longer than what they hold.
constexpr size_t padding = 3;

// What lies before a weight of a piece, in one byte.
namespace gap {
constexpr uint8_t zeros = 3;             // skipped rows move the state as so many zeros do; cycles of zeros have lengths 1, 2, 4
constexpr uint8_t begins_block_row = 4;  // the neighbour is forgotten
}  // namespace gap

struct Piece {
    size_t n_weights = 0;          // without skipped rows
    size_t n_kept = 0;             // the weights behind these only look ahead: they are quantized again with the next piece
    unsigned kept_zeros = 0;       // zeros that skipped rows stand for, behind the kept weights
    unsigned start_state = 0;      // of the trellis, before the first gap
    unsigned end_state = 0;        // written by dependent quantizers: behind the kept weights and zeros
    std::vector<float> weights;    // padded
    std::vector<int32_t> levels;   // padded; the quantizer's result
    std::vector<uint8_t> gaps;     // before each weight, and after the last
    bool ends_in_state_0 = false;  // the next piece begins without knowing this one

    // Takes positions `first` to `end` of the job's scan order, and looks ahead to `horizon`.
    void load(const NncQuantization& job, size_t first, size_t end, size_t horizon);
    void store_levels(const NncQuantization& job, size_t first, size_t end) const;

private:
    void append(const NncQuantization& job, size_t first, size_t end);
};

// |weight / step_size| = base + fraction, base a multiple of 4 and fraction in -2..2.
struct Magnitudes {
    std::vector<int32_t> bases;    // padded
    std::vector<float> fractions;  // padded

    // |weight| * inverse_step is below 2^31.
    void load(const float* weights, size_t n_weights, double inverse_step);
};

}  // namespace incnnr
