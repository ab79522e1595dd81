#include "level_contexts.h"

namespace incnnr {
namespace {

// A context that starts where m / (m + half) of the decisions are ones, m being the middle of an expectation in
// sixteenths of 1/64; it counts like one that has seen few.
Context context_for(uint32_t middle, uint32_t half) {
    const auto one = static_cast<uint32_t>((uint64_t{middle} << 32) / (uint64_t{middle} + half));
    constexpr uint32_t seen = 4;
    return {(one & ~count_mask) | seen, one};
}

uint32_t middle_of(unsigned expectation) {
    if (expectation == 0) return 8;
    const unsigned octave = (expectation - 1) / 2, half = (expectation - 1) % 2;
    return (20 + 8 * half) << octave;
}

}  // namespace

void LevelContexts::reset() {
    reset_contexts(reinterpret_cast<Context*>(this), sizeof *this / sizeof(Context));
    for (unsigned expectation = 0; expectation < n_expectations; ++expectation) {
        const uint32_t middle = middle_of(expectation);
        for (unsigned state = 0; state < 8; ++state) {
            Flags& of_state = flags[expectation][state];
            of_state.significant = context_for(middle, state & 1 ? 300 : 2400);
            of_state.greater_than_1 = context_for(middle, 4000);
            of_state.greater_than_2 = context_for(middle, 3000);
        }
    }
    scale = coefficients[0] = coefficients[1] = unused = 0;
}

}  // namespace incnnr
