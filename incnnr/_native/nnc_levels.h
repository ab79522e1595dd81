// The weights of a layer, one after the other: where coding spends its time.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "nnc_layer.h"

namespace incnnr {

// By state and parity of the coded integer.
constexpr uint8_t nnc_next_state[8][2] = {{0, 2}, {7, 5}, {1, 3}, {6, 4}, {2, 0}, {5, 7}, {3, 1}, {4, 6}};

// What one run of weights leaves to the next.
struct NncLevelState {
    unsigned neighbour = 0;  // of the integer before: 0 for zero, 1 below, 2 above
    unsigned quantizer = 0;  // state of the dependent quantizer
    bool is_wrong = false;   // a level that cannot be: of no int32, or not as the layer says

    // The standard's rule: by the width of the whole row, in every block. Cycles of zeros have lengths 1, 2 and 4.
    void skip_row(size_t width) {
        for (size_t i = 0; i < width % 4; ++i) quantizer = nnc_next_state[quantizer][0];
    }

    // As if the levels had been coded.
    void pass(const NncLayer& layer, size_t first, size_t end) {
        for (size_t i = first; i < end && layer.dependent; ++i)
            quantizer = nnc_next_state[quantizer][(std::abs(int64_t{layer.levels[i]}) + (layer.levels[i] != 0 && quantizer & 1)) >> 1 & 1];
        if (first < end) neighbour = layer.levels[end - 1] == 0 ? 0 : layer.levels[end - 1] < 0 ? 1 : 2;
    }
};

// Which parts of the syntax a layer uses, so that the others cost it nothing.
struct NncPlain {
    static constexpr bool dependent = false, conditioned = false, limited = false;
};
struct NncDependent {
    static constexpr bool dependent = true, conditioned = false, limited = false;
};
struct NncConditioned {  // by base or history
    static constexpr bool dependent = false, conditioned = true, limited = false;
};
struct NncDependentConditioned {
    static constexpr bool dependent = true, conditioned = true, limited = false;
};
struct NncLimited {  // by a codebook
    static constexpr bool dependent = false, conditioned = true, limited = true;
};
struct NncDependentLimited {
    static constexpr bool dependent = true, conditioned = true, limited = true;
};

// A copy of everything that changes, to live in registers during one run.
template <class Coder, class Uses>
class LevelCoder {
public:
    LevelCoder(const Coder& coder, NncContext* contexts, const NncLayer& layer, const NncLevelState& state)
        : coder_(coder),
          state_(state),
          contexts_(contexts),
          base_(layer.temporal ? layer.base : nullptr),
          history_(layer.history_contexts ? layer.history : nullptr),
          at_{layer.n_greater_flags},
          codebook_size_(layer.codebook_size),
          zero_offset_(layer.zero_offset) {}

    const Coder& coder() const { return coder_; }
    const NncLevelState& state() const { return state_; }

    [[gnu::always_inline]] void run(int32_t* levels, size_t first, size_t end) {
        for (size_t i = first; i < end;) {
            bool follows_zeros = false;
            if (is_among_zeros()) {
                const size_t stop = end_of_plain(i, end);
                if (stop > i) {
                    i = pass_zeros(levels, i, stop);
                    if (i == stop) continue;
                    follows_zeros = true;
                }
            }
            code_level(levels[i], i, follows_zeros);
            ++i;
        }
    }

private:
    // ---- many zeros at once ----

    // Whether many are to be expected.
    bool is_among_zeros() const {
        constexpr unsigned likely_row = 22;
        return !Uses::limited && state_.neighbour == 0 && contexts_[NncContexts::significant + 3 * state_.quantizer].row < likely_row;
    }

    // Up to where neither base nor history choose contexts; not far, as zeros may end before. Too few are none.
    size_t end_of_plain(size_t first, size_t end) const {
        if constexpr (!Uses::conditioned) return end;
        constexpr size_t most = 256, fewest = 8;
        size_t i = first;
        for (const size_t stop = std::min(end, first + most); i < stop && !(base_ && base_[i]) && !(history_ && history_[i]);) ++i;
        return i - first < fewest ? first : i;
    }

    // Codes zeros and, if they end before `end`, that something else follows; returns where.
    [[gnu::always_inline]] size_t pass_zeros(int32_t* levels, size_t first, size_t end) {
        size_t n = end - first;
        if constexpr (Coder::is_encoder)
            n = static_cast<size_t>(std::find_if(levels + first, levels + end, [](int32_t level) { return level != 0; }) - levels) - first;
        Coder coder = coder_;  // the one whose address is taken
        n = code_zeros(coder, contexts_ + NncContexts::significant, state_.quantizer, n);
        coder_ = coder;
        if constexpr (Uses::dependent) state_.skip_row(n);
        if constexpr (!Coder::is_encoder) std::fill_n(levels + first, n, 0);
        if (Coder::is_encoder && first + n < end) coder_.bit(contexts_[NncContexts::significant + 3 * state_.quantizer], true);
        return first + n;
    }

    // Zeros make the quantizer's state go round in a circle.
    [[gnu::noinline]] static size_t code_zeros(Coder& coder, NncContext* contexts, unsigned quantizer, size_t n) {
        if constexpr (!Uses::dependent) return coder.template zeros<1>(&contexts, n);
        NncContext* cycle[4];
        unsigned length = 0;
        for (unsigned state = quantizer; length == 0 || state != quantizer; state = nnc_next_state[state][0]) cycle[length++] = contexts + 3 * state;
        return length == 1 ? coder.template zeros<1>(cycle, n) : length == 2 ? coder.template zeros<2>(cycle, n) : coder.template zeros<4>(cycle, n);
    }

    // ---- one weight ----

    [[gnu::always_inline]] void code_level(int32_t& level, size_t i, bool follows_zeros) {
        int64_t index = 0;
        if constexpr (Coder::is_encoder) {
            index = index_of_level(level);
            state_.is_wrong |= level_of_index(index) != level || !is_in_codebook(index);
        }
        index = code_index(index, i, follows_zeros);
        if constexpr (!Coder::is_encoder) {
            const int64_t found = level_of_index(index);
            level = static_cast<int32_t>(found);
            if (__builtin_expect(level != found, 0)) state_.is_wrong = true;
        }
        if constexpr (Uses::dependent) state_.quantizer = nnc_next_state[state_.quantizer][index & 1];
    }

    int64_t index_of_level(int64_t level) const {
        if constexpr (!Uses::dependent) return level;
        const int64_t magnitude = (std::llabs(level) + (state_.quantizer & 1)) / 2;
        return level < 0 ? -magnitude : magnitude;
    }

    int64_t level_of_index(int64_t index) const {
        if constexpr (!Uses::dependent) return index;
        const int64_t odd = state_.quantizer & 1;
        return 2 * index - (index < 0 ? -odd : index > 0 ? odd : 0);
    }

    bool is_in_codebook(int64_t index) const {
        if constexpr (!Uses::limited) return true;
        return index + zero_offset_ >= 0 && index + zero_offset_ < codebook_size_;
    }

    [[gnu::always_inline]] int64_t code_index(int64_t index, size_t i, bool is_known_not_zero) {
        const int64_t base = Uses::conditioned && base_ ? base_[i] : 0;
        if (Uses::limited && codebook_size_ == 1) return 0;
        if (!is_known_not_zero && !coder_.bit(contexts_[significance_context(base, i)], index != 0)) {
            state_.neighbour = 0;
            return 0;
        }
        const bool negative = code_sign(index < 0, base);
        const int64_t magnitude = code_magnitude(std::llabs(index), negative, base);
        state_.neighbour = negative ? 1 : 2;
        return negative ? -magnitude : magnitude;
    }

    unsigned significance_context(int64_t base, size_t i) const {
        if (Uses::conditioned && history_ && history_[i]) return NncContexts::significant_history + state_.quantizer;
        if (Uses::conditioned && base != 0) return NncContexts::significant_temporal + 2 * state_.quantizer + (base > 1 || base < -1);
        return NncContexts::significant + 3 * state_.quantizer + state_.neighbour;
    }

    [[gnu::always_inline]] bool code_sign(bool negative, int64_t base) {
        if (Uses::limited && zero_offset_ == 0) return false;
        if (Uses::limited && zero_offset_ == codebook_size_ - 1) return true;
        const unsigned temporal = NncContexts::sign_temporal + (base > 0);
        return coder_.even_bit(contexts_[Uses::conditioned && base != 0 ? temporal : NncContexts::sign + state_.neighbour], negative);
    }

    // Of the integers that a codebook has on one side of zero.
    int64_t largest_magnitude(bool negative) const {
        if constexpr (!Uses::limited) return std::numeric_limits<int64_t>::max();
        return negative ? zero_offset_ : int64_t{codebook_size_} - 1 - zero_offset_;
    }

    [[gnu::always_inline]] int64_t code_magnitude(int64_t magnitude, bool negative, int64_t base) {
        const int64_t most = largest_magnitude(negative);
        int64_t reached = 1;
        if (Uses::limited && most <= 1) return reached;
        const int64_t base_magnitude = std::llabs(base);
        NncContext* plain = contexts_ + NncContexts::greater + negative;
        NncContext* temporal = contexts_ + at_.greater_temporal();
        NncContext* const end = plain + 2 * at_.n_greater_flags;
        for (; plain != end; plain += 2) {
            NncContext& context = Uses::conditioned && base != 0 ? temporal[base_magnitude < reached - 1] : *plain;
            if (!coder_.bit(context, magnitude > reached)) return reached;
            ++reached;
            temporal += 2;
            if (Uses::limited && reached == most) return reached;
        }
        return code_remainder(magnitude, reached, most);
    }

    [[gnu::always_inline]] int64_t code_remainder(int64_t magnitude, int64_t reached, int64_t most) {
        unsigned n_bits = 0;
        for (unsigned a = 0; a <= 30; ++a) {
            const int64_t step = int64_t{1} << n_bits;
            if (!coder_.bit(contexts_[at_.remainder() + a], magnitude - reached >= step)) break;
            reached += step;
            ++n_bits;
            if (Uses::limited && most < reached + (int64_t{1} << n_bits)) break;
        }
        return reached + coder_.bypass(n_bits, static_cast<uint32_t>(magnitude - reached));
    }

    Coder coder_;
    NncLevelState state_;
    NncContext* const contexts_;
    const int32_t* const base_;
    const uint8_t* const history_;
    const NncContexts at_;
    const unsigned codebook_size_;
    const unsigned zero_offset_;
};

// Codes layer.levels[first] to layer.levels[end - 1].
template <class Uses, class Coder>
[[gnu::noinline]] void code_levels(Coder& coder, NncContext* contexts, const NncLayer& layer, NncLevelState& state, size_t first, size_t end) {
    LevelCoder<Coder, Uses> own(coder, contexts, layer, state);
    own.run(layer.levels, first, end);
    coder = own.coder();
    state = own.state();
}

template <class Coder>
using NncLevelFunction = void (*)(Coder&, NncContext*, const NncLayer&, NncLevelState&, size_t, size_t);

template <class Coder>
NncLevelFunction<Coder> level_function(const NncLayer& layer) {
    if (layer.codebook_size > 0) return layer.dependent ? code_levels<NncDependentLimited, Coder> : code_levels<NncLimited, Coder>;
    const bool conditioned = (layer.temporal && layer.base) || (layer.history_contexts && layer.history);
    if (conditioned) return layer.dependent ? code_levels<NncDependentConditioned, Coder> : code_levels<NncConditioned, Coder>;
    return layer.dependent ? code_levels<NncDependent, Coder> : code_levels<NncPlain, Coder>;
}

}  // namespace incnnr
