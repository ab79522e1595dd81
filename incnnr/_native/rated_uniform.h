// Uniform quantization by the Viterbi algorithm over what contexts know of the index before: whether it was zero.
#pragma once

#include "rated_search.h"

namespace incnnr {

class UniformWays {
public:
    Choices choices;  // states: 1 where the index before is not zero

    // Holds the nearest levels, and stays with the caller until it is quantized.
    void load(const Piece& piece, float inverse_step);

    void start();
    void pass(size_t first, size_t end, const IndexPrices& prices);
    unsigned cheapest_end() const { return costs_[1] < costs_[0]; }
    unsigned trace_back(size_t first, size_t end, unsigned state);
    static unsigned coding_state(unsigned) { return 0; }

private:
    struct Step {
        bool from_nonzero[2];  // the state before, by the state after
        bool below_nearest;    // the nonzero candidate is one less than the nearest level
    };

    int32_t nearest(size_t i) const { return std::abs(piece_->levels[i]); }
    Step step(size_t i, const IndexPrices& prices);

    const Piece* piece_ = nullptr;
    float inverse_step_ = 0;
    std::vector<Step> steps_;
    std::array<float, 2> costs_{};  // of the states
    Neighbour neighbour_{};         // of a way in state 1
};

// From the nearest levels.
void quantize_uniformly(UniformWays& ways, Piece& piece, float inverse_step, const RateSettings& settings);

}  // namespace incnnr
