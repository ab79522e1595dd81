#include <algorithm>

#include "nnc_levels.h"

namespace incnnr {
namespace {

template <class Coder>
class LayerCoder {
public:
    LayerCoder(Coder& coder, NncLayer& layer) : coder_(coder), layer_(layer), at_{layer.n_greater_flags}, contexts_(at_.count()) {
        for (NncContext& context : contexts_) context = nnc_context_of_set(0);
        layer_.state_sets.resize(contexts_.size());
        if (!Coder::is_encoder) layer_.skipped_rows.clear();
        layer_.block_rows.clear();
    }

    NncFault run() {
        if (layer_.qp_bits > 0) code_qp();
        code_preamble();
        code_state_sets();
        code_levels_ = level_function<Coder>(layer_);
        code_block_rows();
        return fault_;
    }

private:
    void code_qp() {
        const uint32_t mask = (uint32_t{1} << layer_.qp_bits) - 1;
        const uint32_t sent = coder_.bypass(layer_.qp_bits, static_cast<uint32_t>(layer_.qp_delta) & mask);
        const bool negative = sent >> (layer_.qp_bits - 1);
        layer_.qp_delta = static_cast<int32_t>(negative ? sent | ~mask : sent);
    }

    void code_preamble() {
        const bool present = layer_.has_preamble && layer_.width > 1 && layer_.height > 1 && layer_.codebook_size != 1;
        layer_.history_contexts = present && layer_.has_parent && coder_.bypass(1, layer_.history_contexts);
        layer_.row_skip = present && coder_.bypass(1, layer_.row_skip);
        if (!layer_.row_skip) return;
        layer_.skipped_rows.resize(layer_.height);
        for (uint8_t& skipped : layer_.skipped_rows) skipped = coder_.bit(contexts_[at_.row_skip()], skipped);
    }

    // ---- shift parameter ids ----

    void code_state_sets() {
        wanted_sets_.assign(contexts_.size(), 0);
        wanted_sets_.swap(layer_.state_sets);
        const unsigned n_states = layer_.dependent ? 8 : 1;
        const bool temporal = layer_.temporal;
        const unsigned n = layer_.n_greater_flags;
        const unsigned k = layer_.codebook_size;
        const unsigned last = k > 0 ? k - 1 : 0;
        const unsigned largest = std::max(layer_.zero_offset, last - std::min(last, layer_.zero_offset));
        if (k != 1) {
            code_sets_of(NncContexts::significant, 3 * n_states);
            if (temporal) code_sets_of(NncContexts::significant_temporal, 2 * n_states);
            if (layer_.history_contexts) code_sets_of(NncContexts::significant_history, n_states);
            if (k == 0 || (layer_.zero_offset != 0 && layer_.zero_offset != last)) code_sets_of(NncContexts::sign, temporal ? 5 : 3);
        }
        code_sets_of(NncContexts::greater, k > 0 ? std::min(2 * n, 2 * largest) : 2 * n);
        if (temporal) code_sets_of(at_.greater_temporal(), k > 0 ? std::min(2 * n, 2 * (largest - std::min(largest, 1u))) : 2 * n);
        for (unsigned a = 0; a < layer_.n_remainder_sets; ++a)
            if (k == 0 || n + (uint64_t{2} << a) - 2 < largest) code_sets_of(at_.remainder() + a, 1);
    }

    void code_sets_of(unsigned first, unsigned count) {
        for (unsigned i = first; i < first + count; ++i) {
            const unsigned wanted = wanted_sets_[i];
            const bool sent = coder_.bit(contexts_[at_.state_set_present()], wanted != 0);
            layer_.state_sets[i] = sent ? static_cast<uint8_t>(1 + coder_.bypass(3, wanted - 1)) : uint8_t{0};
            contexts_[i] = nnc_context_of_set(layer_.state_sets[i]);
        }
    }

    void restart_contexts() {
        for (unsigned i = 0; i < contexts_.size(); ++i) contexts_[i] = nnc_context_of_set(layer_.state_sets[i]);
    }

    // ---- scan ----

    void code_block_rows() {
        const size_t block = layer_.width > 1 && layer_.height > 1 ? layer_.block_size : 0;
        const size_t rows_each = block ? block : layer_.height;
        const size_t n_block_rows = rows_each ? (layer_.height + rows_each - 1) / rows_each : 0;
        const bool resets = block && (n_block_rows > 1 || layer_.single_row_resets);
        for (size_t i = 0; i < n_block_rows && fault_ == NncFault::none; ++i) {
            if (resets) coder_.set_range_256();
            if (resets && i > 0) restart_contexts();
            layer_.block_rows.push_back({coder_.n_bits_taken(), coder_.entry_value(), static_cast<uint8_t>(state_.quantizer)});
            state_.neighbour = 0;
            const size_t first = i * rows_each;
            code_block_row(first, std::min(first + rows_each, layer_.height), block ? block : layer_.width);
        }
    }

    void code_block_row(size_t first_row, size_t end_row, size_t block_width) {
        for (size_t column = 0; column < layer_.width; column += block_width)
            for (size_t row = first_row; row < end_row && fault_ == NncFault::none; ++row)
                code_segment(row, column, std::min(column + block_width, layer_.width));
    }

    void code_segment(size_t row, size_t column, size_t end_column) {
        if constexpr (!Coder::is_encoder)
            if (coder_.has_overrun()) fault_ = NncFault::overrun;
        if (layer_.row_skip && layer_.skipped_rows[row]) {
            skip_segment(layer_.levels + row * layer_.width + column, layer_.levels + row * layer_.width + end_column);
            // The standard's rule: by the width of the whole row, in every block. Cycles of zeros have lengths 1, 2 and 4.
            if (layer_.dependent)
                for (size_t i = 0; i < layer_.width % 4; ++i) state_.quantizer = nnc_next_state[state_.quantizer][0];
            return;
        }
        code_levels_(coder_, contexts_.data(), layer_, state_, row * layer_.width + column, row * layer_.width + end_column);
        if (state_.is_wrong) fault_ = NncFault::wrong_level;
    }

    void skip_segment(int32_t* first, int32_t* end) {
        if constexpr (!Coder::is_encoder) {
            std::fill(first, end, 0);
        } else if (std::any_of(first, end, [](int32_t level) { return level != 0; })) {
            fault_ = NncFault::wrong_level;
        }
    }

    Coder& coder_;
    NncLayer& layer_;
    NncContexts at_;
    std::vector<NncContext> contexts_;
    std::vector<uint8_t> wanted_sets_;
    NncLevelFunction<Coder> code_levels_ = nullptr;
    NncLevelState state_;
    NncFault fault_ = NncFault::none;
};

}  // namespace

NncFault encode_layer(NncEncoder& coder, NncLayer& layer) { return LayerCoder<NncEncoder>(coder, layer).run(); }
NncFault decode_layer(NncDecoder& coder, NncLayer& layer) { return LayerCoder<NncDecoder>(coder, layer).run(); }

void complete_entry_points(NncLayer& layer, const uint8_t* codeword, size_t n_bytes) {
    for (NncLayer::EntryPoint& row : layer.block_rows) {
        const auto byte_at = [&](uint64_t i) { return i < n_bytes ? uint32_t{codeword[i]} : 0u; };
        const uint64_t first = (row.n_bits + 1) / 8;
        const uint32_t held = byte_at(first) << 8 | byte_at(first + 1);
        row.value = static_cast<uint8_t>((held >> (8 - (row.n_bits + 1) % 8)) - row.value);
    }
}

}  // namespace incnnr
