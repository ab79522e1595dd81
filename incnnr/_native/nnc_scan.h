// The order of a layer's weights: block rows from top to bottom, their blocks from left to right, and in them the rows.
#pragma once

#include <algorithm>

#include "core.h"

namespace incnnr {

struct NncScan {
    explicit NncScan(const NncLayer& layer) : height(layer.height), width(layer.width) {
        const size_t block = width > 1 && height > 1 ? layer.block_size : 0;
        rows_each = block ? block : height;
        block_width = block ? block : width;
        n_block_rows = width && rows_each ? (height + rows_each - 1) / rows_each : 0;
        resets = block && (n_block_rows > 1 || layer.single_row_resets);
        skipped = layer.row_skip && !layer.skipped_rows.empty() ? layer.skipped_rows.data() : nullptr;
    }

    // Calls weights(first, end) and skipped_segment(first, end) for all of block row i in turn.
    template <class Visitor>
    void visit_block_row(size_t i, Visitor& visitor) const {
        const size_t first = i * rows_each;
        const size_t end = std::min(first + rows_each, height);
        for (size_t column = 0; column < width; column += block_width)
            for (size_t row = first; row < end;) row = visit_rows(row, end, column, visitor);
    }

    size_t height, width;
    size_t rows_each, block_width;
    size_t n_block_rows;
    bool resets;  // range and contexts, at the start of block rows
    const uint8_t* skipped;

private:
    bool is_skipped(size_t row) const { return skipped && skipped[row]; }

    // One segment, or as many rows as are one run of weights; returns the row after them.
    template <class Visitor>
    size_t visit_rows(size_t row, size_t end_row, size_t column, Visitor& visitor) const {
        const size_t end_column = std::min(column + block_width, width);
        size_t last = row;
        if (is_skipped(row)) {
            visitor.skipped_segment(row * width + column, row * width + end_column);
        } else {
            if (block_width >= width)
                while (last + 1 < end_row && !is_skipped(last + 1)) ++last;
            visitor.weights(row * width + column, last * width + end_column);
        }
        return last + 1;
    }
};

}  // namespace incnnr
