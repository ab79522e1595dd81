// Levels of quantized slices to binary decisions: what each costs follows from the state of the quantizer and from how
// large a level is to be expected.
#pragma once

#include "signs.h"

namespace incnnr {

constexpr int32_t largest_index = 1 << 23;  // an encoder's; its level, up to twice that, is still exact as a float

// What an index stands for: even multiples of the step in even states, odd multiples and 0 in odd ones.
inline int32_t level_of(int32_t index, unsigned state) {
    const auto odd = static_cast<int32_t>(state & 1);
    return 2 * index - (index > 0 ? odd : index < 0 ? -odd : 0);
}

inline constexpr uint8_t target_of[8][2] = {{0, 2}, {7, 5}, {1, 3}, {6, 4}, {2, 0}, {5, 7}, {3, 1}, {4, 6}};  // [state][parity]

// Other than in dependent quantization the state never changes: it is one whose zeros do not begin a rest.
constexpr unsigned independent_state = 2;

inline unsigned first_state(bool dependent) { return dependent ? 0 : independent_state; }
inline unsigned state_behind(unsigned state, int32_t index, bool dependent) { return dependent ? target_of[state][index & 1] : state; }

// Expectations, in half octaves.
constexpr unsigned n_expectations = 32;

// Contexts of one slice, and what its header said last.
struct LevelContexts {
    struct Flags {
        Context significant;
        Context greater_than_1;
        Context greater_than_2;
    };
    static constexpr unsigned n_lengths = 24;

    Flags flags[n_expectations][8];               // [..][state]
    Context longer[n_expectations][n_lengths];    // does a remainder have more bits than so many?
    Context top_bit[n_lengths];                   // the first bit behind its leading one
    Context any, dependent, predicted;
    Context other_scale, other_coefficient, other_distances;
    int32_t scale;
    int32_t coefficients[2];
    int32_t unused;
    SignModel signs;

    void reset();
};
static_assert(sizeof(LevelContexts) % sizeof(Context) == 0);

// Remainders have 24 bits at most; a decoder that is told more stops there.
template <class Coder>
inline uint32_t code_remainder(Coder& coder, LevelContexts& contexts, unsigned expectation, uint32_t remainder) {
    const unsigned n_bits = Coder::is_encoder ? 31 - static_cast<unsigned>(__builtin_clz(remainder | 1)) : 0;
    unsigned length = 0;
    while (length + 1 < LevelContexts::n_lengths && coder.template bit<WeightRates>(contexts.longer[expectation][length], length < n_bits)) ++length;
    if (length == 0) return 1;
    const bool top = coder.template bit<WeightRates>(contexts.top_bit[length], remainder >> (length - 1) & 1);
    const uint32_t mask = (1u << (length - 1)) - 1;
    return 1u << length | uint32_t{top} << (length - 1) | static_cast<uint32_t>(coder.bypass(length - 1, remainder & mask));
}

template <class Coder>
[[gnu::always_inline]] inline uint32_t code_magnitude(Coder& coder, LevelContexts& contexts, unsigned expectation, unsigned state, uint32_t magnitude) {
    LevelContexts::Flags& flags = contexts.flags[expectation][state];
    if (!coder.template bit<WeightRates>(flags.significant, magnitude > 0)) return 0;
    if (!coder.template bit<WeightRates>(flags.greater_than_1, magnitude > 1)) return 1;
    if (!coder.template bit<WeightRates>(flags.greater_than_2, magnitude > 2)) return 2;
    return 2 + code_remainder(coder, contexts, expectation, magnitude - 2);
}

// A number of a header, mostly 0.
template <class Coder>
int32_t code_number(Coder& coder, Context& is_other, int32_t number) {
    if (!coder.template bit<FlagRates>(is_other, number != 0)) return 0;
    const bool negative = coder.bypass(1, number < 0);
    const uint32_t magnitude = negative ? 0 - static_cast<uint32_t>(number) : static_cast<uint32_t>(number);
    const auto n_bits = static_cast<unsigned>(coder.bypass(5, Coder::is_encoder ? 31 - static_cast<unsigned>(__builtin_clz(magnitude | 1)) : 0));
    const uint64_t leading = uint64_t{1} << n_bits;
    const auto coded = static_cast<uint32_t>(leading | coder.bypass(n_bits, magnitude & (leading - 1)));
    return static_cast<int32_t>(negative ? 0 - coded : coded);
}

// As the difference to what it was last, modulo 2^32: nothing overflows, whatever is coded and whatever was known.
template <class Coder>
int32_t code_known(Coder& coder, Context& is_other, int32_t& known, int32_t number) {
    const auto last = static_cast<uint32_t>(known);
    const auto difference = static_cast<int32_t>(static_cast<uint32_t>(number) - last);
    known = static_cast<int32_t>(last + static_cast<uint32_t>(code_number(coder, is_other, difference)));
    return known;
}

}  // namespace incnnr
