#include "level_contexts.h"

namespace incnnr {
namespace {

// Where probabilities of a one start, by expectation, in 1/4096.
using Curve = uint16_t[n_expectations];
constexpr Curve significant_at_rest = {12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 20, 41, 74, 221, 614, 983, 1761, 2580, 3113, 3523, 3727, 3871, 3973, 3994, 4014, 4055, 4076, 4080, 4084, 4088, 4088, 4088};  // in state 0
constexpr Curve significant_even = {4, 8, 20, 37, 49, 123, 266, 451, 819, 901, 983, 1106, 1311, 1638, 2130, 2376, 2703, 3174, 3400, 3604, 3830, 3932, 4002, 4014, 4035, 4055, 4076, 4080, 4084, 4088, 4088, 4088};  // in the other even states
constexpr Curve significant_odd = {20, 49, 82, 123, 328, 901, 1638, 2621, 3072, 3441, 3645, 3809, 3932, 4026, 4059, 4080, 4088, 4088, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092, 4092};  // in odd states
constexpr Curve greater = {8, 8, 8, 8, 8, 8, 8, 8, 8, 12, 20, 41, 94, 266, 573, 942, 1475, 2294, 2744, 3154, 3564, 3686, 3830, 3891, 3912, 3994, 4043, 4067, 4076, 4080, 4084, 4088};  // of magnitudes

// Counts like a context that has seen few decisions.
Context context_for(uint32_t one) {
    constexpr uint32_t seen = 4;
    return {one << 20 | seen, one << 20};
}

}  // namespace

void LevelContexts::reset() {
    reset_contexts(reinterpret_cast<Context*>(this), sizeof *this / sizeof(Context));
    for (unsigned expectation = 0; expectation < n_expectations; ++expectation) {
        for (unsigned state = 0; state < 8; ++state) {
            const Curve& significant = state == 0 ? significant_at_rest : state & 1 ? significant_odd : significant_even;
            Flags& of_state = flags[expectation][state];
            of_state.significant = context_for(significant[expectation]);
            of_state.greater_than_1 = of_state.greater_than_2 = context_for(greater[expectation]);
        }
        for (unsigned length = 0; length < n_lengths; ++length)
            longer[expectation][length] = context_for(greater[expectation < 1 + 2 * length ? 0 : expectation - 1 - 2 * length]);
    }
    scale = coefficients[0] = coefficients[1] = unused = 0;
    signs = {};
}

}  // namespace incnnr
