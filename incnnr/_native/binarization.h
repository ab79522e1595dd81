// Integers to binary decisions, after DeepCABAC: significance, sign, two greater-than flags, then an exp-Golomb
// remainder whose prefix has contexts and whose suffix is sent as it is.
#pragma once

#include "change_rates.h"
#include "engine.h"

namespace incnnr {

// The prefix of a remainder of up to 32 bits has a context for each length; longer lengths share one between four.
constexpr unsigned n_prefix_contexts = 40;
inline unsigned prefix_context(unsigned length) { return length < 32 ? length : 32 + (length - 32) / 4; }

// Contexts of one slice, chosen by a bucket 0..63 that says what to expect.
struct ResidualContexts {
    struct Bucket {
        Context significant;
        Context greater_than_1;
        Context greater_than_2;
        Context prefix[n_prefix_contexts];
    };
    Bucket buckets[n_buckets];
    Context negative;

    void reset() { reset_contexts(reinterpret_cast<Context*>(this), sizeof(*this) / sizeof(Context)); }
};
static_assert(sizeof(ResidualContexts) % sizeof(Context) == 0);

// Any 64-bit residual, most negative included. Returns the value coded; a decoder may find an impossible prefix, which
// it ends at 63 (the digest catches what that decodes to).
template <class Coder>
inline int64_t code_residual(Coder& coder, ResidualContexts& contexts, unsigned bucket, int64_t value) {
    ResidualContexts::Bucket& expected = contexts.buckets[bucket];
    if (!coder.template bit<WeightRates>(expected.significant, value != 0)) return 0;
    const bool negative = coder.template bit<WeightRates>(contexts.negative, value < 0);
    uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    if (!coder.template bit<WeightRates>(expected.greater_than_1, magnitude > 1)) {
        magnitude = 1;
    } else if (!coder.template bit<WeightRates>(expected.greater_than_2, magnitude > 2)) {
        magnitude = 2;
    } else {
        const uint64_t remainder = magnitude - 2;  // >= 1
        const unsigned n_suffix_bits = Coder::is_encoder ? 63 - static_cast<unsigned>(__builtin_clzll(remainder | 1)) : 0;
        unsigned length = 0;
        while (length < 63 && coder.template bit<WeightRates>(expected.prefix[prefix_context(length)], length < n_suffix_bits)) ++length;
        const uint64_t suffix_mask = (uint64_t{1} << length) - 1;
        magnitude = (uint64_t{1} << length | coder.bypass(length, remainder & suffix_mask)) + 2;
    }
    return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

// Contexts of the codeword's exact values without a reference; they last for one codeword.
struct IntraContexts {
    Context symbol[n_kinds][2048];  // binary trees over the exponent, or over the whole byte of 8-bit kinds
    Context negative[n_kinds];
    Context low_bits[n_kinds];
    Context top_mantissa_bits[256][8];  // by the exponent: binary trees over three bits
};
static_assert(sizeof(IntraContexts) % sizeof(Context) == 0);

// n_bits of a symbol, most significant first, each under the bits before it; the tree has room for 2^n_bits.
template <class Coder, size_t n_nodes>
inline unsigned code_symbol(Coder& coder, Context (&tree)[n_nodes], unsigned n_bits, unsigned symbol) {
    unsigned node = 1;
    for (unsigned left = n_bits; left-- > 0;) node = 2 * node + coder.template bit<WeightRates>(tree[node], symbol >> left & 1);
    return node - (1u << n_bits);
}

// The same for bits that are hard to guess.
template <class Coder, size_t n_nodes>
inline unsigned code_even_symbol(Coder& coder, Context (&tree)[n_nodes], unsigned n_bits, unsigned symbol) {
    unsigned node = 1;
    for (unsigned left = n_bits; left-- > 0;) node = 2 * node + coder.template even_bit<WeightRates>(tree[node], symbol >> left & 1);
    return node - (1u << n_bits);
}

}  // namespace incnnr
