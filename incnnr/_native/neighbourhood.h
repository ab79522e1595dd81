// How large a level is to be expected: from the levels around it that are coded already, in its row and in the rows above,
// and from how much the weights moved in the updates before.
#pragma once

#include <algorithm>
#include <vector>

#include "level_contexts.h"

namespace incnnr {

class Neighbourhood {
public:
    // A slice of rows of `width` weights; `moved` says what to expect of each from the updates before, null for nothing.
    Neighbourhood(size_t n_weights, size_t width, const uint32_t* moved)
        : moved_(moved), above_(width + 1), magnitudes_(n_weights + width + 1), columns_(width) {}

    // Of the next weight.
    unsigned expectation() const {
        const uint16_t* up = &magnitudes_[next_];
        const uint32_t near = 2 * before_[0] + before_[1] + before_[2] + 2u * up[1] + up[0] + (above_ > 2 ? up[2] : 0u);
        const uint32_t sum = 400 * near + 64 * (columns_[column_] + row_) + (moved_ ? moved_[next_] : 0);
        const uint32_t scaled = sum >> 8;
        if (scaled == 0) return 0;
        const unsigned octave = 31 - static_cast<unsigned>(__builtin_clz(scaled));
        const unsigned half = octave > 0 ? scaled >> (octave - 1) & 1 : 0;
        return std::min(1 + 2 * octave + half, n_expectations - 1);
    }

    void push(int32_t level) {
        const uint32_t magnitude = std::min(static_cast<uint32_t>(level < 0 ? -level : level), most);
        magnitudes_[next_ + above_] = static_cast<uint16_t>(magnitude);
        columns_[column_] = moved_towards(columns_[column_], magnitude, column_shift());
        row_ = moved_towards(row_, magnitude, 4);
        before_[2] = before_[1];
        before_[1] = before_[0];
        before_[0] = magnitude;
        ++next_;
        if (++column_ == columns_.size()) {
            column_ = 0;
            ++n_rows_;
        }
    }

    // The place of the next weight, to come back to from at most `ahead` weights further on.
    struct Mark {
        size_t next, column, n_rows;
        uint32_t row, before[3];
        std::vector<uint32_t> columns;
    };
    void mark(Mark& mark, size_t ahead) const {
        mark.next = next_, mark.column = column_, mark.n_rows = n_rows_, mark.row = row_;
        std::copy_n(before_, 3, mark.before);
        mark.columns.resize(std::min(ahead, columns_.size()));
        for (size_t i = 0, c = column_; i < mark.columns.size(); ++i, c = c + 1 == columns_.size() ? 0 : c + 1) mark.columns[i] = columns_[c];
    }
    void return_to(const Mark& mark) {
        next_ = mark.next, column_ = mark.column, n_rows_ = mark.n_rows, row_ = mark.row;
        std::copy_n(mark.before, 3, before_);
        for (size_t i = 0, c = column_; i < mark.columns.size(); ++i, c = c + 1 == columns_.size() ? 0 : c + 1) columns_[c] = mark.columns[i];
    }

private:
    static constexpr uint32_t most = 4095;

    // The mean of a column is nearly that of all rows, until there are many.
    unsigned column_shift() const { return n_rows_ < 1 ? 0 : n_rows_ < 2 ? 1 : n_rows_ < 4 ? 2 : n_rows_ < 12 ? 3 : 4; }

    // A running mean in 1/256.
    static uint32_t moved_towards(uint32_t mean, uint32_t magnitude, unsigned shift) {
        return static_cast<uint32_t>(static_cast<int32_t>(mean) + ((static_cast<int32_t>(magnitude << 8) - static_cast<int32_t>(mean)) >> shift));
    }

    const uint32_t* moved_;
    size_t above_;                      // distance from a weight to the one left of the weight above it
    std::vector<uint16_t> magnitudes_;  // of the levels, behind a row of zeros
    std::vector<uint32_t> columns_;
    size_t next_ = 0;
    size_t column_ = 0;
    size_t n_rows_ = 0;
    uint32_t row_ = 0;
    uint32_t before_[3] = {};
};

}  // namespace incnnr
