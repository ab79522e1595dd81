// Dependent quantization by the Viterbi algorithm over the 8 states, with prices for the indices.
#pragma once

#include "candidates.h"
#include "rated_search.h"

namespace incnnr {

class DependentWays {
public:
    Choices choices;

    // |weight| * inverse_step is below 2^31. The piece stays with the caller until it is quantized.
    void load(const Piece& piece, double inverse_step);

    void start();
    void pass(size_t first, size_t end, const IndexPrices& prices);
    unsigned cheapest_end() const { return cheapest(costs_); }
    static unsigned coding_state(unsigned state) { return state; }

    // From the state behind weight end - 1 to the one before `first`, each without the gap there. Stops where it meets a
    // way traced before.
    unsigned trace_back(size_t first, size_t end, unsigned state);

private:
    void pass_tile(size_t first, size_t n, const IndexPrices& prices);

    const Piece* piece_ = nullptr;
    Magnitudes magnitudes_;
    std::vector<uint8_t> parities_;  // of each weight; bit t: target t is reached by parity 1
    std::vector<uint8_t> zeros_;     // bit t: target t is reached by index 0
    ByState<Float4> costs_{};
    ByState<Mask4> after_zero_{};    // the index before was zero
    Neighbour neighbour_{};          // what it was else
};

void quantize_dependently(DependentWays& ways, Piece& piece, double inverse_step, const RateSettings& settings);

}  // namespace incnnr
