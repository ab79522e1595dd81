// How often indices occur in the contexts of ISO/IEC 15938-17, and what coding them costs at such frequencies.
#pragma once

#include "index_prices.h"

namespace incnnr {

class NncStatistics {
public:
    explicit NncStatistics(unsigned n_greater_flags);

    void count(unsigned state, Neighbour neighbour, int32_t index) {
        significant_[state][neighbour][index != 0] += 1;
        sign_[neighbour][index < 0] += index != 0 ? 1.0f : 0.0f;
        magnitude_[index < 0][classes_.of(index < 0 ? -index : index)] += 1;
    }

    // Lets what was counted so far weigh less than what comes.
    void fade(float factor);

    IndexPrices prices(float price_of_a_bit) const;

private:
    using Counts = std::array<float, MagnitudeClasses::most>;
    using Significance = std::array<float, 2>;  // how often an index was zero, and how often not

    // What is expected in a context: few indices fall into each, so that states with the same levels share what they know.
    Significance significance(unsigned state, unsigned neighbour) const;

    void price_magnitudes(Counts& prices, const Counts& counts, float price_of_a_bit) const;

    MagnitudeClasses classes_;  // a greater flag tells each from the next; the remainder's prefix counts the octaves
    Significance significant_[8][n_neighbours] = {};
    float sign_[n_neighbours][2] = {};
    Counts magnitude_[2] = {};
};

}  // namespace incnnr
