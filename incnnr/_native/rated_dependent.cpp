#include "rated_dependent.h"

#include <cmath>

namespace incnnr {
namespace {

void add_prices(Candidates& candidates, const float* weights, const IndexPrices& prices, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const auto& of_magnitude = prices.magnitude[std::signbit(weights[i])];
        for (int residue = 0; residue < 4; ++residue) candidates.of_other(residue, i) += of_magnitude[candidates.class_of(residue, i)];
    }
}

}  // namespace

void DependentWays::load(const Piece& piece, double inverse_step) {
    piece_ = &piece;
    magnitudes_.load(piece.weights.data(), piece.n_weights, inverse_step);
    for (auto* of_each : {&parities_, &zeros_}) of_each->resize(piece.n_weights);
    choices.indices.resize(piece.n_weights);
}

void DependentWays::start() {
    choices.states.assign(piece_->n_weights, Choices::untraced);
    costs_ = only_in(piece_->start_state);
    neighbour_ = neighbour_zero;  // whatever after_zero_ says
}

void DependentWays::pass(size_t first, size_t end, const IndexPrices& prices) {
    for (; first < end; first += tile_weights) pass_tile(first, std::min(end - first, tile_weights), prices);
}

void DependentWays::pass_tile(size_t first, size_t n, const IndexPrices& prices) {
    Candidates candidates;
    measure(candidates, &magnitudes_.bases[first], &magnitudes_.fractions[first], prices.classes, n);
    add_prices(candidates, &piece_->weights[first], prices, n);
    ByState<Float4> costs = costs_;
    ByState<Mask4> after_zero = after_zero_;
    Neighbour neighbour = neighbour_;
    for (size_t i = 0; i < n; ++i) {
        const uint8_t before = piece_->gaps[first + i];
        costs = after_zeros(costs, before & gap::zeros);
        after_zero = after_zeros(after_zero, before & gap::zeros);
        if (before & gap::begins_block_row) neighbour = neighbour_zero;
        const bool negative = std::signbit(piece_->weights[first + i]);
        const auto zero_price = choose(after_zero, prices.zero[neighbour_zero], prices.zero[neighbour]);
        const auto zero = plus(plus(zero_price, candidates.of_zero(i), candidates.of_zero(i)), costs);
        const auto other = plus(costs, choose(after_zero, prices.nonzero[neighbour_zero][negative], prices.nonzero[neighbour][negative]));
        const auto other0 = plus(other, candidates.of_other(0, i), candidates.of_other(3, i));
        const auto other1 = plus({swap_halves(other.even), swap_halves(other.odd)}, candidates.of_other(2, i), candidates.of_other(1, i));
        const ByState<Mask4> is_zero = {zero.even <= other0.even, zero.odd <= other0.odd};
        const Arrival arrival = arrive(choose(is_zero, zero, other0), other1);
        const Mask4 low_zero = is_zero.even & ~arrival.low_parity;
        const Mask4 high_zero = is_zero.odd & ~arrival.high_parity;
        parities_[first + i] = static_cast<uint8_t>(arrival.parities());
        zeros_[first + i] = static_cast<uint8_t>(lane_bits(low_zero) | lane_bits(high_zero) << 4);
        costs = arrival.costs();
        after_zero = ByState<Mask4>::of_targets(low_zero, high_zero);
        neighbour = negative ? neighbour_negative : neighbour_positive;
    }
    const Float4 least = all_lanes(smallest(costs));
    costs_ = {costs.even - least, costs.odd - least};
    after_zero_ = after_zero;
    neighbour_ = neighbour;
}

unsigned DependentWays::trace_back(size_t first, size_t end, unsigned state) {
    constexpr int32_t residue_of[2][2] = {{0, 2}, {3, 1}};  // [state % 2][parity]
    for (size_t i = end; i-- > first;) {
        const unsigned parity = parities_[i] >> state & 1;
        const bool is_zero = zeros_[i] >> state & 1;
        state = source_of[state][parity];
        const int32_t magnitude = index_of(magnitudes_.bases[i], magnitudes_.fractions[i], residue_of[state % 2][parity]) * !is_zero;
        choices.indices[i] = std::signbit(piece_->weights[i]) ? -magnitude : magnitude;
        if (choices.states[i] == state) break;
        choices.states[i] = static_cast<uint8_t>(state);
        state = state_before_zeros(state, piece_->gaps[i] & gap::zeros);
    }
    return state_before_zeros(choices.states[first], piece_->gaps[first] & gap::zeros);
}

void quantize_dependently(DependentWays& ways, Piece& piece, double inverse_step, const RateSettings& settings) {
    ways.load(piece, inverse_step);
    const unsigned last_state = search(ways, piece, settings);
    const bool looks_ahead = piece.n_kept < piece.n_weights;
    const unsigned behind_kept = looks_ahead ? state_before_zeros(ways.choices.states[piece.n_kept], piece.gaps[piece.n_kept] & gap::zeros) : last_state;
    piece.end_state = state_after_zeros(behind_kept, piece.kept_zeros);
    for (size_t i = 0; i < piece.n_weights; ++i) {
        const int32_t index = ways.choices.indices[i];
        const int32_t odd = ways.choices.states[i] & 1;
        piece.levels[i] = 2 * index - (index > 0 ? odd : index < 0 ? -odd : 0);
    }
}

}  // namespace incnnr
