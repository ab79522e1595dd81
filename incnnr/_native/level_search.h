// Dependent quantization of a slice with the least sum of squared error and of what the levels cost in its contexts.
#pragma once

#include <memory>

#include "candidates.h"
#include "neighbourhood.h"
#include "quantizer_piece.h"

namespace incnnr {

// What indices cost in contexts as they stand, by expectation; looked up in a table, so the same on every machine.
class LevelPrices {
public:
    static constexpr unsigned n_classes = 3 + LevelContexts::n_lengths;  // none; 1, 2, then remainders by their bits
    static constexpr MagnitudeClasses classes{2};

    struct OfExpectation {
        ByState<Float4> zero;
        ByState<Float4> other[n_classes];  // without the sign
    };

    explicit LevelPrices(float price_of_a_bit) : price_of_a_bit_(price_of_a_bit) {}

    void outdate() { std::fill_n(is_current_, n_expectations, false); }
    const OfExpectation& at(unsigned expectation, const LevelContexts& contexts) {
        if (!is_current_[expectation]) price(expectation, contexts);
        return of_[expectation];
    }

private:
    void price(unsigned expectation, const LevelContexts& contexts);

    float price_of_a_bit_;
    bool is_current_[n_expectations] = {};
    OfExpectation of_[n_expectations];
};

class LevelSearch {
public:
    // Gives the indices of `scaled`, weights in units of the step below 2^24, as if it began with these contexts.
    void run(const float* scaled, size_t n_weights, Neighbourhood neighbourhood, LevelContexts learned, float price_of_a_bit, std::vector<int32_t>& indices);

private:
    void pass(size_t first, size_t n, LevelPrices& prices, const LevelContexts& contexts);
    void step(size_t i, size_t in_tile, const Candidates& candidates, const LevelPrices::OfExpectation& prices);
    void trace_back(size_t end, unsigned state);
    void learn(size_t first, size_t end, Neighbourhood& neighbourhood, LevelContexts& contexts);

    const float* scaled_ = nullptr;
    Magnitudes magnitudes_;
    ByState<Float4> costs_{};
    Neighbourhood::Mark mark_;
    std::vector<uint8_t> parities_;  // of each weight; bit t: target t is reached by parity 1
    std::vector<uint8_t> zeros_;     // bit t: target t is reached by index 0
    std::vector<uint8_t> states_;    // before the weight on the way traced last; `untraced` before the first
    int32_t* indices_ = nullptr;
    std::vector<uint8_t> expectations_;  // of a block of weights
    std::vector<float> sign_prices_;
};

}  // namespace incnnr
