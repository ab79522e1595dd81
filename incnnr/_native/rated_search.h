// Quantization with the least sum of squared error and price of the indices, whatever the quantizer.
//
// Prices follow the indices: every so many weights the best way so far is traced back, its indices are counted, and older
// counts fade. Ways are what a quantizer can do: they are passed forward with the prices of the moment and traced back.
#pragma once

#include "nnc_statistics.h"
#include "quantizer_piece.h"

namespace incnnr {

struct RateSettings {
    float price_of_a_bit;  // in squared levels
    unsigned n_greater_flags;
};

// What was chosen for each weight.
struct Choices {
    std::vector<uint8_t> states;   // before the weight; `untraced` where no way has been traced back
    std::vector<int32_t> indices;  // what is coded, with its sign

    static constexpr uint8_t untraced = 255;
};

constexpr size_t weights_per_price = 128;
constexpr float fading = 0.93f;            // a memory of about 1,800 weights
constexpr size_t weights_to_begin = 16384;  // these are quantized twice, the first time only for the prices

template <class Ways>
void count_choices(NncStatistics& statistics, const Ways& ways, size_t first, size_t end) {
    Neighbour neighbour = neighbour_zero;
    for (size_t i = first; i < end; ++i) {
        const int32_t index = ways.choices.indices[i];
        statistics.count(Ways::coding_state(ways.choices.states[i]), neighbour, index);
        neighbour = neighbour_of(index);
    }
}

template <class Ways>
void pass_and_learn(Ways& ways, size_t n, NncStatistics& statistics, float price_of_a_bit) {
    ways.start();
    for (size_t i = 0; i < n; i += weights_per_price) {
        const size_t end = std::min(n, i + weights_per_price);
        ways.pass(i, end, statistics.prices(price_of_a_bit));
        ways.trace_back(i, end, ways.cheapest_end());
        statistics.fade(fading);
        count_choices(statistics, ways, i, end);
    }
}

// Leaves the best way through a piece in ways.choices; returns its last state.
template <class Ways>
unsigned search(Ways& ways, const Piece& piece, const RateSettings& settings) {
    NncStatistics statistics(settings.n_greater_flags);
    pass_and_learn(ways, std::min(piece.n_weights, weights_to_begin), statistics, settings.price_of_a_bit);
    pass_and_learn(ways, piece.n_weights, statistics, settings.price_of_a_bit);
    const unsigned last_state = piece.ends_in_state_0 ? 0 : ways.cheapest_end();
    unsigned state = last_state;
    for (size_t end = piece.n_weights; end > 0;) {
        const size_t first = (end - 1) / weights_per_price * weights_per_price;
        state = ways.trace_back(first, end, state);
        end = first;
    }
    return last_state;
}

}  // namespace incnnr
