#include "segments.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "differences.h"
#include "numbers.h"
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

// The mantissa in three parts: a bit with a context, plain bits, and n_zeros bits that are seldom other than zero.
template <Kind kind, class Coder>
uint64_t code_mantissa(Coder& coder, IntraContexts& intra, unsigned exponent, unsigned n_zeros, uint64_t bits) {
    constexpr unsigned n_mantissa = NumberOf<kind>::n_mantissa_bits;
    const auto mask = [](unsigned n) { return (uint64_t{1} << n) - 1; };
    uint64_t mantissa = 0;
    if (n_zeros < n_mantissa) {
        const unsigned n_plain = n_mantissa - 1 - n_zeros;
        const bool top = coder.template bit<WeightRates>(intra.top_mantissa_bit[exponent & 255], bits >> (n_mantissa - 1) & 1);
        mantissa = (uint64_t{top} << n_plain | coder.bypass(n_plain, bits >> n_zeros & mask(n_plain))) << n_zeros;
    }
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
        const bool negative = coder.template bit<WeightRates>(intra.negative[static_cast<size_t>(kind)], bits >> (N::n_bits - 1));
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

// ---- quantized ------------------------------------------------------------------------------------------------------

// Every integer up to here is a float, so a level survives the conversion that reconstruction makes.
template <class Real>
constexpr Real largest_level = std::is_same_v<Real, float> ? Real(1 << 24) : Real(1LL << 53);

template <Kind kind>
struct Quantizer {
    using N = NumberOf<kind>;
    using Word = typename N::Word;
    using Real = typename RealOf<kind>::Real;

    Real step_size;

    // 0 where no level makes sense: a correction sends such a weight.
    int64_t level(Word from, Word to) const {
        const double distance = (static_cast<double>(RealOf<kind>::value(to)) - static_cast<double>(RealOf<kind>::value(from))) / static_cast<double>(step_size);
        if (!(std::fabs(distance) < static_cast<double>(largest_level<Real>))) return 0;
        return static_cast<int64_t>(std::nearbyint(distance));
    }

    // Level 0 keeps the reference's bits, NaN payloads and the sign of zero included.
    Word reconstruct(Word from, int64_t level) const {
        if (level == 0) return from;
        const Real offset = static_cast<Real>(level) * step_size;
        const Real value = RealOf<kind>::value(from) + offset;
        return RealOf<kind>::bits(value);
    }
};

template <Kind kind>
double error_of(typename NumberOf<kind>::Word got, typename NumberOf<kind>::Word wanted) {
    return std::fabs(static_cast<double>(RealOf<kind>::value(got)) - static_cast<double>(RealOf<kind>::value(wanted)));
}

// Whether a reconstructed weight must be replaced by the exact one.
template <Kind kind>
bool misses(typename NumberOf<kind>::Word got, typename NumberOf<kind>::Word wanted, double max_error) {
    using N = NumberOf<kind>;
    if (got == wanted) return false;
    const double value = static_cast<double>(RealOf<kind>::value(wanted));
    if (!std::isfinite(value) || wanted == N::sign_bit) return true;
    const double error = error_of<kind>(got, wanted);
    return !(std::isfinite(error) && error <= max_error);
}

// Without a bound from the caller: half a step and what rounding to the dtype may add, which only a weight that no level
// reaches exceeds.
template <Kind kind>
double error_bound(const Segment& segment, typename NumberOf<kind>::Word wanted) {
    if (std::isfinite(segment.max_error)) return segment.max_error;
    const int n_mantissa_bits = static_cast<int>(NumberOf<kind>::n_mantissa_bits);
    const double value = std::fabs(static_cast<double>(RealOf<kind>::value(wanted)));
    const double smallest = static_cast<double>(RealOf<kind>::value(1));
    return 0.5 * segment.step_size + std::ldexp(value + segment.step_size, 1 - n_mantissa_bits) + smallest;
}

// What to expect of a level after the two before it in C order.
inline unsigned activity_bucket(uint64_t before, uint64_t before_that) {
    const uint64_t activity = 2 * std::min<uint64_t>(before, 1u << 30) + std::min<uint64_t>(before_that, 1u << 30);
    if (activity < 8) return static_cast<unsigned>(activity);
    return 4 + 63 - static_cast<unsigned>(__builtin_clzll(activity)) + 1;
}

template <Kind kind, class Coder>
bool code_levels(Coder& coder, Segment& segment) {
    using N = NumberOf<kind>;
    auto& contexts = *reinterpret_cast<ResidualContexts*>(segment.contexts);
    const Quantizer<kind> quantizer{static_cast<typename Quantizer<kind>::Real>(segment.step_size)};
    uint64_t before = 0;
    uint64_t before_that = 0;
    bool any_misses = false;
    for (size_t i = 0; i < segment.n_elements; ++i) {
        const auto from = element_or_zero<kind>(segment.reference, i);
        int64_t level = 0;
        if constexpr (Coder::is_encoder) level = quantizer.level(from, N::load(segment.source, i));
        level = code_residual(coder, contexts, activity_bucket(before, before_that), level);
        before_that = before;
        before = level < 0 ? 0 - static_cast<uint64_t>(level) : static_cast<uint64_t>(level);
        const auto got = quantizer.reconstruct(from, level);
        N::store(segment.result, i, got);
        if constexpr (Coder::is_encoder) {
            const auto wanted = N::load(segment.source, i);
            any_misses |= misses<kind>(got, wanted, error_bound<kind>(segment, wanted));
        }
    }
    return any_misses;
}

// The exact bits of every weight that misses the bound, as differences to what was reconstructed.
template <Kind kind, class Coder>
void code_corrections(Coder& coder, Segment& segment) {
    using N = NumberOf<kind>;
    ResidualContexts contexts;
    contexts.reset();
    for (size_t i = 0; i < segment.n_elements; ++i) {
        const auto got = N::load(segment.result, i);
        int64_t difference = 0;
        if constexpr (Coder::is_encoder) {
            const auto wanted = N::load(segment.source, i);
            if (misses<kind>(got, wanted, error_bound<kind>(segment, wanted))) difference = N::difference(wanted, got);
        }
        difference = code_residual(coder, contexts, N::bucket(got), difference);
        if (difference != 0) N::store(segment.result, i, N::displaced(got, difference));
    }
}

template <Kind kind, class Coder>
void code_quantized(Coder& coder, Segment& segment) {
    const bool any_misses = code_levels<kind>(coder, segment);
    if (coder.bypass(1, any_misses)) code_corrections<kind>(coder, segment);
    for (size_t i = 0; i < segment.n_elements; ++i) {
        const auto got = NumberOf<kind>::load(segment.result, i);
        const bool is_changed = got != element_or_zero<kind>(segment.reference, i);
        segment.n_changed += is_changed;
        if (is_changed && segment.changed != nullptr) segment.changed[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
        if constexpr (Coder::is_encoder) {
            const double error = error_of<kind>(got, NumberOf<kind>::load(segment.source, i));
            if (error > segment.largest_error && std::isfinite(error)) segment.largest_error = error;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

template <class Coder>
void code_values(Coder& coder, Segment& segment, IntraContexts* intra) {
    segment.n_changed = 0;
    segment.largest_error = 0;
    with_kind(segment.kind, [&](auto constant) {
        constexpr Kind kind = decltype(constant)::value;
        if (segment.coding == Coding::intra) {
            code_intra<kind>(coder, segment, *intra);
        } else if constexpr (has_real(kind)) {
            code_quantized<kind>(coder, segment);
        }
    });
    segment.digest = Xxh64::hash(segment.result, segment.n_elements * element_bytes(segment.kind), 0);
}

template <Kind kind>
bool quantization_changes(const Segment& segment) {
    const Quantizer<kind> quantizer{static_cast<typename Quantizer<kind>::Real>(segment.step_size)};
    for (size_t i = 0; i < segment.n_elements; ++i) {
        const auto from = element_or_zero<kind>(segment.reference, i);
        const auto to = NumberOf<kind>::load(segment.source, i);
        if (from == to) continue;
        if (quantizer.level(from, to) != 0 || misses<kind>(from, to, error_bound<kind>(segment, to))) return true;
    }
    return false;
}

}  // namespace

void encode_segment(Encoder& coder, BulkEncoder& bulk, Segment& segment, IntraContexts* intra) {
    if (segment.coding == Coding::inter) return encode_differences(coder, bulk, segment);
    code_values(coder, segment, intra);
}

Status decode_segment(Decoder& coder, BulkDecoder& bulk, Segment& segment, IntraContexts* intra) {
    if (segment.coding == Coding::inter) return decode_differences(coder, bulk, segment);
    code_values(coder, segment, intra);
    return Status::ok;
}

bool is_changed(const Segment& segment) {
    if (segment.coding == Coding::intra || segment.reference == nullptr) return true;
    if (segment.coding == Coding::inter) return std::memcmp(segment.reference, segment.source, segment.n_elements * element_bytes(segment.kind)) != 0;
    return with_kind(segment.kind, [&](auto constant) {
        constexpr Kind kind = decltype(constant)::value;
        if constexpr (has_real(kind)) return quantization_changes<kind>(segment);
        return true;
    });
}

size_t contexts_bytes(Kind kind, Coding coding) {
    if (coding == Coding::intra) return 0;
    return coding == Coding::inter ? difference_state_bytes(kind) : sizeof(ResidualContexts);
}

void reset_contexts(Kind kind, Coding coding, uint8_t* contexts) {
    if (coding == Coding::inter) reset_difference_state(kind, contexts);
    if (coding == Coding::quantized) reinterpret_cast<ResidualContexts*>(contexts)->reset();
}

size_t element_bytes(Kind kind) {
    return with_kind(kind, [](auto constant) { return sizeof(typename NumberOf<decltype(constant)::value>::Word); });
}

}  // namespace incnnr
