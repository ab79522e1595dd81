// How often indices occur in the contexts of ISO/IEC 15938-17, and what coding them costs at such frequencies.
#pragma once

#include "index_prices.h"

namespace incnnr {

struct NncStatistics {
    float significant[8][n_neighbours][2] = {};
    float sign[n_neighbours][2] = {};
    float magnitudes[2][n_priced_magnitudes] = {};  // [..][0] is of no use

    void count(unsigned state, Neighbour neighbour, int32_t index) {
        const int32_t magnitude = index < 0 ? -index : index;
        significant[state][neighbour][index != 0] += 1;
        sign[neighbour][index < 0] += index != 0 ? 1.0f : 0.0f;
        magnitudes[index < 0][magnitude < n_priced_magnitudes ? magnitude : n_priced_magnitudes - 1] += 1;
    }

    // Lets what was counted so far weigh less than what comes.
    void fade(float factor);

    IndexPrices prices(float price_of_a_bit, unsigned n_greater_flags) const;
};

}  // namespace incnnr
