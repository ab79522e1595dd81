#include "rated_uniform.h"

#include <cmath>

namespace incnnr {
namespace {

// The nonzero candidate, or 0 for none.
int32_t magnitude_of(int32_t nearest, bool below_nearest) { return std::max(nearest - below_nearest, 0); }

}  // namespace

void UniformWays::load(const Piece& piece, float inverse_step) {
    piece_ = &piece;
    inverse_step_ = inverse_step;
    steps_.resize(piece.n_weights);
    choices.indices.resize(piece.n_weights);
}

void UniformWays::start() {
    choices.states.assign(piece_->n_weights, Choices::untraced);
    costs_ = {0, unreachable};
    neighbour_ = neighbour_zero;
}

void UniformWays::pass(size_t first, size_t end, const IndexPrices& prices) {
    for (size_t i = first; i < end; ++i) {
        if (piece_->gaps[i] & gap::begins_block_row) neighbour_ = neighbour_zero;
        steps_[i] = step(i, prices);
        neighbour_ = std::signbit(piece_->weights[i]) ? neighbour_negative : neighbour_positive;
    }
    const float least = std::min(costs_[0], costs_[1]);
    costs_ = {costs_[0] - least, costs_[1] - least};
}

UniformWays::Step UniformWays::step(size_t i, const IndexPrices& prices) {
    const bool negative = std::signbit(piece_->weights[i]);
    const float scaled = std::fabs(piece_->weights[i] * inverse_step_);
    const auto candidate = [&](bool below_nearest) {
        const int32_t magnitude = magnitude_of(nearest(i), below_nearest);
        const float distance = scaled - static_cast<float>(magnitude);
        return distance * distance + prices.magnitude[negative][prices.classes.of(magnitude)];
    };
    const float near = candidate(false), below = candidate(true);
    const float zero[2] = {costs_[0] + prices.zero[neighbour_zero].even[0], costs_[1] + prices.zero[neighbour_].even[0]};
    const float other[2] = {costs_[0] + prices.nonzero[neighbour_zero][negative].even[0], costs_[1] + prices.nonzero[neighbour_][negative].even[0]};
    costs_ = {std::min(zero[0], zero[1]) + scaled * scaled, std::min(other[0], other[1]) + std::min(near, below)};
    return {{zero[1] < zero[0], other[1] < other[0]}, below < near};
}

unsigned UniformWays::trace_back(size_t first, size_t end, unsigned state) {
    for (size_t i = end; i-- > first;) {
        const int32_t magnitude = state ? magnitude_of(nearest(i), steps_[i].below_nearest) : 0;
        choices.indices[i] = std::signbit(piece_->weights[i]) ? -magnitude : magnitude;
        state = steps_[i].from_nonzero[state];
        if (choices.states[i] == state) break;
        choices.states[i] = static_cast<uint8_t>(state);
    }
    return choices.states[first];
}

void quantize_uniformly(UniformWays& ways, Piece& piece, float inverse_step, const RateSettings& settings) {
    ways.load(piece, inverse_step);
    search(ways, piece, settings);
    std::copy_n(ways.choices.indices.begin(), piece.n_weights, piece.levels.begin());
}

}  // namespace incnnr
