#include "segments.h"

#include <cstring>

#include "differences.h"
#include "numbers.h"
#include "quantized.h"
#include "xxh64.h"

namespace incnnr {
namespace {

// An element of an array that may be absent, which stands for zeros.
template <Kind kind>
typename NumberOf<kind>::Word element_or_zero(const uint8_t* array, size_t i) {
    using Word = typename NumberOf<kind>::Word;
    return array == nullptr ? Word{0} : NumberOf<kind>::load(array, i);
}

// ---- intra ----------------------------------------------------------------------------------------------------------

// How many low mantissa bits are zero in nearly all elements, as in float32 made from bfloat16.
template <Kind kind>
unsigned usual_trailing_zeros(const Segment& segment) {
    using N = NumberOf<kind>;
    size_t n_with[N::n_mantissa_bits + 1] = {};  // elements with exactly so many zeros
    for (size_t i = 0; i < segment.n_elements; ++i)
        ++n_with[__builtin_ctzll(uint64_t{1} << N::n_mantissa_bits | N::load(segment.source, i))];
    unsigned n_zeros = N::n_mantissa_bits;
    for (size_t n = n_with[n_zeros]; n_zeros > 0 && n < segment.n_elements / 16 * 15; n += n_with[n_zeros]) --n_zeros;
    return n_zeros;
}

// The mantissa in three parts: up to three bits with contexts, plain bits, and n_zeros bits that are seldom other than zero.
template <Kind kind, class Coder>
uint64_t code_mantissa(Coder& coder, IntraContexts& intra, unsigned exponent, unsigned n_zeros, uint64_t bits) {
    constexpr unsigned n_mantissa = NumberOf<kind>::n_mantissa_bits;
    const auto mask = [](unsigned n) { return (uint64_t{1} << n) - 1; };
    const unsigned n_top = std::min(3u, n_mantissa - n_zeros), n_plain = n_mantissa - n_zeros - n_top;
    const uint64_t top = code_even_symbol(coder, intra.top_mantissa_bits[exponent & 255], n_top, static_cast<unsigned>(bits >> (n_mantissa - n_top) & mask(n_top)));
    uint64_t mantissa = (top << n_plain | coder.bypass(n_plain, bits >> n_zeros & mask(n_plain))) << n_zeros;
    if (n_zeros > 0 && coder.template bit<WeightRates>(intra.low_bits[static_cast<size_t>(kind)], (bits & mask(n_zeros)) != 0))
        mantissa |= coder.bypass(n_zeros, bits & mask(n_zeros));
    return mantissa;
}

template <Kind kind, class Coder>
void code_intra_floats(Coder& coder, Segment& segment, IntraContexts& intra) {
    using N = NumberOf<kind>;
    constexpr unsigned n_mantissa = N::n_mantissa_bits;
    auto& tree = intra.symbol[static_cast<size_t>(kind)];
    unsigned n_zeros = 0;
    if constexpr (Coder::is_encoder) n_zeros = usual_trailing_zeros<kind>(segment);
    n_zeros = std::min(static_cast<unsigned>(coder.bypass(6, n_zeros)), n_mantissa);
    for (size_t i = 0; i < segment.n_elements; ++i) {
        uint64_t bits = 0;
        if constexpr (Coder::is_encoder) bits = N::load(segment.source, i);
        const bool negative = coder.template even_bit<WeightRates>(intra.negative[static_cast<size_t>(kind)], bits >> (N::n_bits - 1));
        const unsigned exponent = code_symbol(coder, tree, N::n_exponent_bits, bits >> n_mantissa & ((1u << N::n_exponent_bits) - 1));
        const uint64_t mantissa = code_mantissa<kind>(coder, intra, exponent, n_zeros, bits);
        N::store(segment.result, i, static_cast<typename N::Word>(uint64_t{negative} << (N::n_bits - 1) | uint64_t{exponent} << n_mantissa | mantissa));
    }
}

template <Kind kind, class Coder>
void code_intra_bytes(Coder& coder, Segment& segment, IntraContexts& intra) {
    auto& tree = intra.symbol[static_cast<size_t>(kind)];
    for (size_t i = 0; i < segment.n_elements; ++i) {
        unsigned symbol = 0;
        if constexpr (Coder::is_encoder) symbol = segment.source[i];
        segment.result[i] = static_cast<uint8_t>(code_symbol(coder, tree, 8, symbol));
    }
}

// Wide integers: each as the difference to the one before it.
template <Kind kind, class Coder>
void code_intra_integers(Coder& coder, Segment& segment) {
    using N = NumberOf<kind>;
    ResidualContexts contexts;
    contexts.reset();
    typename N::Word before = 0;
    for (size_t i = 0; i < segment.n_elements; ++i) {
        int64_t difference = 0;
        if constexpr (Coder::is_encoder) difference = N::difference(N::load(segment.source, i), before);
        before = N::displaced(before, code_residual(coder, contexts, N::bucket(before), difference));
        N::store(segment.result, i, before);
    }
}

template <Kind kind, class Coder>
void code_intra(Coder& coder, Segment& segment, IntraContexts& intra) {
    segment.n_changed = segment.n_elements;
    if constexpr (NumberOf<kind>::n_bits == 8) {
        code_intra_bytes<kind>(coder, segment, intra);
    } else if constexpr (NumberOf<kind>::is_float) {
        code_intra_floats<kind>(coder, segment, intra);
    } else {
        code_intra_integers<kind>(coder, segment);
    }
}

// ---------------------------------------------------------------------------------------------------------------------

template <class Coder>
void code_all_intra(Coder& coder, Segment& segment, IntraContexts& intra) {
    segment.largest_error = segment.squared_error = 0;
    with_kind(segment.kind, [&](auto constant) { code_intra<decltype(constant)::value>(coder, segment, intra); });
    segment.digest = Xxh64::hash(segment.result, segment.n_elements * element_bytes(segment.kind), 0);
}

}  // namespace

void encode_segment(Encoder& coder, BulkEncoder& bulk, Segment& segment, IntraContexts* intra, Workspace& workspace) {
    if (segment.coding == Coding::inter) return encode_differences(coder, bulk, segment);
    if (segment.coding == Coding::quantized) return encode_quantized(coder, segment, workspace);
    code_all_intra(coder, segment, *intra);
}

Status decode_segment(Decoder& coder, BulkDecoder& bulk, Segment& segment, IntraContexts* intra, Workspace& workspace) {
    if (segment.coding == Coding::inter) return decode_differences(coder, bulk, segment);
    if (segment.coding == Coding::quantized) return decode_quantized(coder, segment, workspace);
    code_all_intra(coder, segment, *intra);
    return Status::ok;
}

bool is_changed(Segment& segment) {
    if (segment.coding == Coding::intra || segment.reference == nullptr) return true;
    if (segment.coding == Coding::quantized) return quantization_changes(segment);
    return std::memcmp(segment.reference, segment.source, segment.n_elements * element_bytes(segment.kind)) != 0;
}

size_t contexts_bytes(Kind kind, Coding coding) {
    if (coding == Coding::intra) return 0;
    return coding == Coding::inter ? difference_state_bytes(kind) : level_contexts_bytes();
}

void reset_contexts(Kind kind, Coding coding, uint8_t* contexts) {
    if (coding == Coding::inter) reset_difference_state(kind, contexts);
    if (coding == Coding::quantized) reset_level_contexts(contexts);
}

size_t element_bytes(Kind kind) {
    return with_kind(kind, [](auto constant) { return sizeof(typename NumberOf<decltype(constant)::value>::Word); });
}

}  // namespace incnnr
