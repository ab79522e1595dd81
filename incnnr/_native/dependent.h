// Dependent quantization with the least squared error: the Viterbi algorithm over the 8 states.
#pragma once

#include "quantizer_piece.h"
#include "trellis.h"

namespace incnnr {

class DependentQuantizer {
public:
    // |weight| * inverse_step is below 2^31.
    void quantize(Piece& piece, double inverse_step);

private:
    void pass_tile(const Piece& piece, size_t first, size_t n);
    void trace_back(Piece& piece) const;
    void choose_levels(Piece& piece) const;

    Magnitudes magnitudes_;
    std::vector<uint8_t> parities_;  // Arrival::parities of each weight
    ByState<Float4> costs_{};
};

}  // namespace incnnr
