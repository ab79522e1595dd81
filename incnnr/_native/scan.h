// The order in which the weights of a matrix are coded (ISO/IEC 15938-17): row by row, or block by block.
#pragma once

#include <algorithm>
#include <cstddef>

namespace incnnr {

// Consecutive weights of one row that follow one another in scan order.
struct ScanRun {
    size_t row;
    size_t first;             // index of the first weight
    size_t length;
    bool begins_segment;      // here the row enters its block
    bool begins_block_row;
};

// Blocks of block_size x block_size from left to right, then the next block row; inside a block row by row. Without
// blocks, rows are the segments.
class Scan {
public:
    Scan(size_t height, size_t width, size_t block_size)
        : height_(height), width_(width), block_(width > 1 && height > 1 ? block_size : 0) {}

    size_t n_weights() const { return height_ * width_; }

    // What begins at a place in scan order, and goes on until its segment ends.
    ScanRun at(size_t position) const {
        const size_t row = position / width_;
        if (block_ == 0) return {row, position, (row + 1) * width_ - position, position % width_ == 0, position == 0};
        const size_t top = row / block_ * block_;
        const size_t block_height = std::min(block_, height_ - top);
        const size_t in_block_row = position - top * width_;
        const size_t left = in_block_row / (block_height * block_) * block_;
        const size_t block_width = std::min(block_, width_ - left);
        const size_t in_block = in_block_row - left * block_height;
        const size_t y = in_block / block_width;
        const size_t x = in_block % block_width;
        return {top + y, (top + y) * width_ + left + x, block_width - x, x == 0, in_block_row == 0};
    }

private:
    size_t height_;
    size_t width_;
    size_t block_;
};

}  // namespace incnnr
