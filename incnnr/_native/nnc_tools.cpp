// What an encoder may choose for each layer, by estimated cost.
#include "nnc_estimate.h"
#include "nnc_layer_coder.h"

namespace incnnr {
namespace {

constexpr size_t window = 2048;

// About as many bins as the weights have, remainders aside.
uint64_t estimated_bins(const NncLayer& layer) {
    const auto most = int64_t{layer.n_greater_flags};
    uint64_t n = 0;
    for (size_t i = 0; i < layer.height * layer.width; ++i) {
        const int64_t magnitude = std::abs(int64_t{layer.levels[i]}) >> layer.dependent;
        n += 1 + static_cast<uint64_t>(magnitude ? 1 + std::min(magnitude, most) : 0);
    }
    return n;
}

bool is_large(const NncLayer& layer) { return layer.height * layer.width > 8192; }

// One in so many weights is looked at. Counted in bins, as it takes many weights to learn something of a sparse layer.
size_t sampling_of(const NncLayer& layer) {
    if (!is_large(layer)) return 1;
    const uint64_t n_bins = estimated_bins(layer);
    return std::max<size_t>(1, n_bins / (49152 + n_bins / 32));
}

// Tries every state set on a layer's weights: on all, or on windows spread evenly. Where contexts restart, a window is a
// whole block row, as the cost of learning anew belongs to it.
class SetTrial {
public:
    explicit SetTrial(const NncLayer& layer)
        : layer_(layer), scan_(layer), every_(sampling_of(layer)), contexts_(NncContexts{layer.n_greater_flags}.count()), sets_(contexts_.size()),
          trial_(sets_, contexts_.data(), !scan_.resets), try_levels_(level_function<NncSetTrial>(layer)) {
        for (size_t i = 0; i < scan_.n_block_rows; ++i) {
            takes_row_ = i % every_ == 0;
            if (scan_.resets && takes_row_)
                for (NncSetCosts& costs : sets_) costs.restart();
            state_.neighbour = 0;
            scan_.visit_block_row(i, *this);
        }
    }

    std::vector<uint8_t> best_sets() const {
        std::vector<uint8_t> best;
        for (const NncSetCosts& costs : sets_) best.push_back(static_cast<uint8_t>(costs.best_set(n_each())));
        return best;
    }

    double cost(const std::vector<uint8_t>& sets) const {
        double cost = n_each() * static_cast<double>(nnc_bit_cost * trial_.n_bypass());
        for (size_t i = 0; i < sets_.size(); ++i) cost += sets_[i].cost(sets[i], n_each());
        return cost;
    }

    // ---- called by the scan ----

    void weights(size_t first, size_t end) {
        while (first < end) {
            const size_t n = std::min(end - first, window - n_seen_ % window);
            const bool taken = scan_.resets ? takes_row_ : n_seen_ / window % every_ == 0;
            if (taken) {
                try_levels_(trial_, contexts_.data(), layer_, state_, first, first + n);
                n_taken_ += n;
            } else {
                state_.pass(layer_, first, first + n);
            }
            n_seen_ += n;
            first += n;
        }
    }

    void skipped_segment(size_t, size_t) {
        if (layer_.dependent) state_.skip_row(layer_.width);
    }

private:
    double n_each() const { return n_taken_ ? static_cast<double>(n_seen_) / static_cast<double>(n_taken_) : 1.0; }

    const NncLayer& layer_;
    const NncScan scan_;
    const size_t every_;
    std::vector<NncContext> contexts_;
    std::vector<NncSetCosts> sets_;
    NncSetTrial trial_;
    NncLevelFunction<NncSetTrial> try_levels_;
    NncLevelState state_;
    bool takes_row_ = true;
    size_t n_seen_ = 0, n_taken_ = 0;
};

double estimated_cost(NncLayer& layer, const SetTrial& trial) {
    NncCounter counter;
    LayerCoder<NncCounter>(counter, layer).code_header();
    return static_cast<double>(counter.cost()) + trial.cost(layer.state_sets);
}

double counted_cost(NncLayer& layer) {
    NncCounter counter;
    LayerCoder<NncCounter> parts(counter, layer);
    parts.code_header();
    parts.code_weights();
    return static_cast<double>(counter.cost());
}

// Fills the state sets and returns what the layer costs then. Each set has been weighed by itself: together, and with the
// flags that say which there are, they may still be worth less than none. Where it is close, bins are counted, if that
// does not take long; within a bit, the estimate cannot tell.
double choose_state_sets(NncLayer& layer) {
    constexpr double close = 48.0 * nnc_bit_cost;
    const SetTrial trial(layer);
    layer.state_sets.clear();
    double cost_of_none = estimated_cost(layer, trial);
    layer.state_sets = trial.best_sets();
    double cost_of_best = estimated_cost(layer, trial);
    const bool counts = !is_large(layer) && cost_of_best > cost_of_none - close;
    if (counts) cost_of_best = counted_cost(layer);
    const std::vector<uint8_t> best = std::move(layer.state_sets);
    layer.state_sets.clear();
    if (counts) cost_of_none = counted_cost(layer);
    if (cost_of_best >= cost_of_none + nnc_bit_cost) return cost_of_none;
    layer.state_sets = best;
    return cost_of_best;
}

struct Candidate {
    NncLayer layer;
    double cost;

    explicit Candidate(NncLayer of) : layer(std::move(of)), cost(choose_state_sets(layer)) {}

    void replace_if_cheaper(Candidate other) {
        if (other.cost < cost) *this = std::move(other);
    }
};

// With a dependent quantizer the decoder's state after a skipped row may be another than after coded zeros: then the
// levels were made for the rows that the caller said.
bool rows_are_fixed(const NncLayer& layer) {
    return layer.dependent && layer.height > 1 && layer.block_size > 0 && layer.width > layer.block_size && layer.width % 4 != 0;
}

std::vector<uint8_t> rows_of_zeros(const NncLayer& layer) {
    std::vector<uint8_t> rows(layer.height);
    for (size_t i = 0; i < layer.height; ++i) {
        const int32_t* const first = layer.levels + i * layer.width;
        rows[i] = std::all_of(first, first + layer.width, [](int32_t level) { return level == 0; });
    }
    return rows;
}

constexpr double clearly_less = 0.4, clearly_more = 2.5;

// How many times the bits of flags for all rows the zeros would take in those that have nothing else, roughly. Contexts
// soon expect nothing but zeros in such a row, so that most of them are cheap.
double worth_of_row_flags(const NncLayer& layer, const std::vector<uint8_t>& rows) {
    constexpr double settled_zero = 0.03, flag = 1.5;
    constexpr size_t unsettled = 32;
    const auto n_rows = static_cast<size_t>(std::count(rows.begin(), rows.end(), 1));
    const size_t n_coded = (layer.height - n_rows) * layer.width;
    if (n_rows == 0 || n_coded == 0) return n_rows > 0 ? clearly_more : 0;
    const size_t n_weights = layer.height * layer.width;
    const auto n_nonzero = n_weights - static_cast<size_t>(std::count(layer.levels, layer.levels + n_weights, 0));
    const double share = static_cast<double>(n_nonzero) / static_cast<double>(n_coded);
    const double zero = 1.44 * share * (1 + share / 2);  // about -log2(1 - share)
    const size_t n_settled = layer.width - std::min(layer.width, unsettled);
    const double row = static_cast<double>(layer.width - n_settled) * zero + static_cast<double>(n_settled) * std::min(zero, settled_zero);
    const double octaves = 32 - __builtin_clz(static_cast<unsigned>(layer.height / n_rows));
    return row / (octaves + flag);
}

Candidate best_candidate(NncLayer layer) {
    const bool chooses_rows = has_preamble(layer) && !rows_are_fixed(layer);
    double worth = 0;
    layer.history_contexts = false;
    if (chooses_rows) {
        layer.skipped_rows = rows_of_zeros(layer);
        worth = worth_of_row_flags(layer, layer.skipped_rows);
        layer.row_skip = worth >= clearly_more;
    }
    Candidate best(layer);
    if (chooses_rows && worth > clearly_less && worth < clearly_more) {
        layer.row_skip = true;
        best.replace_if_cheaper(Candidate(layer));
    }
    if (!best.layer.row_skip && chooses_rows) best.layer.skipped_rows.clear();
    layer = best.layer;
    if (has_preamble(layer) && layer.has_parent && layer.history) {
        layer.history_contexts = true;
        best.replace_if_cheaper(Candidate(layer));
    }
    return best;
}

double choose_with_temporal(std::vector<NncLayer>& layers, bool temporal) {
    double cost = 0;
    for (NncLayer& layer : layers) {
        layer.temporal = temporal;
        Candidate best = best_candidate(std::move(layer));
        layer = std::move(best.layer);
        cost += best.cost;
    }
    return cost;
}

}  // namespace

void choose_tools(NncLayer* layers, size_t n_layers) {
    std::vector<NncLayer> best(layers, layers + n_layers);
    std::vector<NncLayer> temporal = best;
    const double cost = choose_with_temporal(best, false);
    const bool has_base = std::any_of(layers, layers + n_layers, [](const NncLayer& layer) { return layer.has_parent && layer.base; });
    if (has_base && choose_with_temporal(temporal, true) < cost) best.swap(temporal);
    std::move(best.begin(), best.end(), layers);
}

}  // namespace incnnr
