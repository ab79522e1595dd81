// One parameter inside an arithmetic codeword: preamble, shift ids, weights.
//
// Encoding, decoding and estimating share one description of the syntax.
#pragma once

#include <algorithm>
#include <vector>

#include "nnc_levels.h"
#include "nnc_scan.h"

namespace incnnr {

template <class Coder>
class LayerCoder {
public:
    LayerCoder(Coder& coder, NncLayer& layer) : coder_(coder), layer_(layer), at_{layer.n_greater_flags}, contexts_(at_.count(), nnc_context_of_set(0)) {
        layer_.state_sets.resize(contexts_.size());
        layer_.block_rows.clear();
        if (!Coder::is_encoder) layer_.skipped_rows.clear();
    }

    void code_header() {
        if (layer_.qp_bits > 0) code_qp();
        code_preamble();
        code_state_sets();
    }

    NncFault code_weights() {
        const NncScan scan(layer_);
        code_levels_ = level_function<Coder>(layer_);
        for (size_t i = 0; i < scan.n_block_rows && fault_ == NncFault::none; ++i) {
            if (scan.resets) coder_.set_range_256();
            if (scan.resets && i > 0) restart_contexts();
            layer_.block_rows.push_back({coder_.n_bits_taken(), coder_.entry_value(), static_cast<uint8_t>(state_.quantizer)});
            state_.neighbour = 0;
            scan.visit_block_row(i, *this);
        }
        return fault_;
    }

    // ---- called by the scan ----

    void weights(size_t first, size_t end) {
        constexpr size_t most = 1 << 12;  // between two looks at whether a decoder reads on behind the codeword
        for (size_t stop = first; first < end && fault_ == NncFault::none; first = stop) {
            stop = std::min(first + most, end);
            code_levels_(coder_, contexts_.data(), layer_, state_, first, stop);
            if (state_.is_wrong) fault_ = NncFault::wrong_level;
            if constexpr (!Coder::is_encoder)
                if (coder_.has_overrun()) fault_ = NncFault::overrun;
        }
    }

    void skipped_segment(size_t first, size_t end) {
        if constexpr (!Coder::is_encoder) {
            std::fill(layer_.levels + first, layer_.levels + end, 0);
        } else if (std::any_of(layer_.levels + first, layer_.levels + end, [](int32_t level) { return level != 0; })) {
            fault_ = NncFault::wrong_level;
        }
        if (layer_.dependent) state_.skip_row(layer_.width);
    }

private:
    void code_qp() {
        const uint32_t mask = (uint32_t{1} << layer_.qp_bits) - 1;
        const uint32_t sent = coder_.bypass(layer_.qp_bits, static_cast<uint32_t>(layer_.qp_delta) & mask);
        const bool negative = sent >> (layer_.qp_bits - 1);
        layer_.qp_delta = static_cast<int32_t>(negative ? sent | ~mask : sent);
    }

    void code_preamble() {
        const bool present = has_preamble(layer_);
        layer_.history_contexts = present && layer_.has_parent && coder_.bypass(1, layer_.history_contexts);
        layer_.row_skip = present && coder_.bypass(1, layer_.row_skip);
        if (!layer_.row_skip) return;
        layer_.skipped_rows.resize(layer_.height);
        for (uint8_t& skipped : layer_.skipped_rows) skipped = coder_.bit(contexts_[at_.row_skip()], skipped);
    }

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

    Coder& coder_;
    NncLayer& layer_;
    NncContexts at_;
    std::vector<NncContext> contexts_;
    std::vector<uint8_t> wanted_sets_;
    NncLevelFunction<Coder> code_levels_ = nullptr;
    NncLevelState state_;
    NncFault fault_ = NncFault::none;
};

}  // namespace incnnr
