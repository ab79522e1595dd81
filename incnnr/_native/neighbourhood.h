// What level is to be expected: from those around it that are coded already, in its row and in the rows above, and from
// what is known of the weight itself.
#pragma once

#include <algorithm>
#include <vector>

#include "level_contexts.h"

namespace incnnr {

// Of the weights of a slice; null for nothing.
struct Hints {
    const uint32_t* moved = nullptr;    // how large a level to expect from the updates before
    const int8_t* direction = nullptr;  // signs of the first running mean
    const int8_t* sign = nullptr;       // of the reference
};

class Neighbourhood {
public:
    // Running means in 1/256.
    struct Column {
        int32_t magnitude, level;
    };

    struct Arrays {
        std::vector<uint16_t> magnitudes;  // of the levels, behind a row of zeros
        std::vector<int8_t> nearest;       // the levels, but -2 to 2 at most, behind zeros as far as they reach
        std::vector<Column> columns;
    };

    // A slice of rows of `width` weights. The arrays are this neighbourhood's as long as it lives.
    Neighbourhood(size_t n_weights, size_t width, const Hints& hints, const SignModel& signs, Arrays& arrays)
        : hints_(hints), width_(width), above_(width + 1) {
        std::copy_n(signs.distances, n_distances, distances_);
        reach_ = std::max<size_t>({width, 3, *std::max_element(distances_, distances_ + n_distances)});
        magnitudes_ = behind_zeros(arrays.magnitudes, above_, n_weights);
        nearest_ = behind_zeros(arrays.nearest, reach_, n_weights);
        arrays.columns.assign(width, {0, 0});
        columns_ = arrays.columns.data();
    }

    // Of the next weight's magnitude.
    unsigned expectation() const {
        const uint16_t* up = &magnitudes_[next_];
        const uint32_t near = 2 * before_[0] + before_[1] + before_[2] + 2u * up[1] + up[0] + (above_ > 2 ? up[2] : 0u);
        const uint32_t sum = 400 * near + 64 * static_cast<uint32_t>(columns_[column_].magnitude + row_) + (hints_.moved ? hints_.moved[next_] : 0);
        const uint32_t scaled = sum >> 8;
        if (scaled == 0) return 0;
        const unsigned octave = 31 - static_cast<unsigned>(__builtin_clz(scaled));
        const unsigned half = octave > 0 ? scaled >> (octave - 1) & 1 : 0;
        return std::min(1 + 2 * octave + half, n_expectations - 1);
    }

    // Of the next weight's sign.
    SignFeatures sign_features() const {
        const int8_t* const at = &nearest_[next_ + reach_];
        const auto level = [&](size_t distance) { return static_cast<float>(*(at - distance)); };
        const auto hint = [&](const int8_t* of) { return of ? static_cast<float>(of[next_]) : 0; };
        const auto far = [&](unsigned k) { return distances_[k] > 0 ? level(distances_[k]) : 0; };
        return {Float4{level(1), level(2), level(3), level(above_ - 1)},
                Float4{static_cast<float>(columns_[column_].level) * 0x1p-8f, 1, hint(hints_.direction), hint(hints_.sign)},
                Float4{far(0), far(1), far(2), far(3)}};
    }

    void push(int32_t level) {
        const int32_t magnitude = std::min(level < 0 ? -level : level, most);
        magnitudes_[next_ + above_] = static_cast<uint16_t>(magnitude);
        nearest_[next_ + reach_] = static_cast<int8_t>(std::clamp(level, -2, 2));
        Column& column = columns_[column_];
        column.magnitude = moved_towards(column.magnitude, magnitude, column_shift_);
        column.level = moved_towards(column.level, std::clamp(level, -8, 8), column_shift_);
        row_ = moved_towards(row_, magnitude, 4);
        before_[2] = before_[1];
        before_[1] = before_[0];
        before_[0] = static_cast<uint32_t>(magnitude);
        ++next_;
        if (++column_ == width_) {
            column_ = 0;
            column_shift_ = shift_behind(++n_rows_);
        }
    }

    // The place of the next weight, to come back to from at most `ahead` weights further on.
    struct Mark {
        size_t next, column, n_rows;
        int32_t row;
        uint32_t before[3];
        std::vector<Column> columns;
    };
    void mark(Mark& mark, size_t ahead) const {
        mark.next = next_, mark.column = column_, mark.n_rows = n_rows_, mark.row = row_;
        std::copy_n(before_, 3, mark.before);
        mark.columns.resize(std::min(ahead, width_));
        for (size_t i = 0, c = column_; i < mark.columns.size(); ++i, c = c + 1 == width_ ? 0 : c + 1) mark.columns[i] = columns_[c];
    }
    void return_to(const Mark& mark) {
        next_ = mark.next, column_ = mark.column, n_rows_ = mark.n_rows, row_ = mark.row;
        column_shift_ = shift_behind(n_rows_);
        std::copy_n(mark.before, 3, before_);
        for (size_t i = 0, c = column_; i < mark.columns.size(); ++i, c = c + 1 == width_ ? 0 : c + 1) columns_[c] = mark.columns[i];
    }

private:
    static constexpr int32_t most = 4095;

    // The mean of a column is nearly that of all rows, until there are many.
    static unsigned shift_behind(size_t n_rows) { return n_rows < 1 ? 0 : n_rows < 2 ? 1 : n_rows < 4 ? 2 : n_rows < 12 ? 3 : 4; }

    // What follows the zeros is written before it is read.
    template <class Number>
    static Number* behind_zeros(std::vector<Number>& numbers, size_t n_zeros, size_t n) {
        numbers.resize(n_zeros + n);
        std::fill_n(numbers.begin(), n_zeros, Number{0});
        return numbers.data();
    }

    static int32_t moved_towards(int32_t mean, int32_t value, unsigned shift) { return mean + ((value * 256 - mean) >> shift); }

    Hints hints_;
    size_t width_;
    size_t above_;                      // distance from a weight to the one left of the weight above it
    size_t reach_;                      // the longest distance to a level that tells of a sign
    uint16_t distances_[n_distances];
    uint16_t* magnitudes_;
    int8_t* nearest_;
    Column* columns_;
    size_t next_ = 0;
    size_t column_ = 0;
    size_t n_rows_ = 0;
    unsigned column_shift_ = shift_behind(0);
    int32_t row_ = 0;
    uint32_t before_[3] = {};
};

template <class Coder>
[[gnu::always_inline]] inline int32_t code_index(Coder& coder, LevelContexts& contexts, const Neighbourhood& around, unsigned state, int32_t index) {
    const auto magnitude = code_magnitude(coder, contexts, around.expectation(), state, static_cast<uint32_t>(index < 0 ? -index : index));
    if (magnitude == 0) return 0;
    const auto positive = static_cast<int32_t>(magnitude);
    const uint32_t size = static_cast<uint32_t>(level_of(positive, state));
    return code_sign(coder, contexts.signs, around.sign_features(), size, index < 0) ? -positive : positive;
}

}  // namespace incnnr
