#include "quantized.h"

#include "quantized_slice.h"
#include "xxh64.h"

namespace incnnr {
namespace {

// By a weight that may not stay as it is: too far off, or by more than a step where no bound is given.
template <Kind kind>
bool any_moves(Segment& segment) {
    using N = NumberOf<kind>;
    segment.largest_error = segment.squared_error = 0;
    const double usual = segment.relative_error > 0 ? 0 : segment.step_size * multiplier(segment.scale);
    const double bound = std::isfinite(segment.max_error) ? segment.max_error : usual;
    for (size_t i = 0; i < segment.n_elements; ++i) {
        const auto from = segment.reference ? N::load(segment.reference, i) : typename N::Word{0};
        const auto wanted = N::load(segment.source, i);
        if (misses<kind>(from, wanted, bound)) return true;
        note_error(segment, error_of<kind>(from, wanted));
    }
    return false;
}

// Calls f(kind) for the kinds that levels are defined for.
template <class F>
auto with_real_kind(Kind kind, F&& f) {
    switch (kind) {
        case Kind::float16: return f(std::integral_constant<Kind, Kind::float16>{});
        case Kind::bfloat16: return f(std::integral_constant<Kind, Kind::bfloat16>{});
        case Kind::float64: return f(std::integral_constant<Kind, Kind::float64>{});
        default: return f(std::integral_constant<Kind, Kind::float32>{});
    }
}

}  // namespace

void encode_quantized(Encoder& coder, Segment& segment, Workspace& workspace) {
    segment.largest_error = segment.squared_error = 0;
    with_real_kind(segment.kind, [&](auto kind) { QuantizedSlice<kind()>(segment, workspace).encode(coder); });
    segment.digest = Xxh64::hash(segment.result, segment.n_elements * element_bytes(segment.kind), 0);
}

Status decode_quantized(Decoder& coder, Segment& segment, Workspace& workspace) {
    const Status status = with_real_kind(segment.kind, [&](auto kind) { return QuantizedSlice<kind()>(segment, workspace).decode(coder); });
    segment.digest = Xxh64::hash(segment.result, segment.n_elements * element_bytes(segment.kind), 0);
    return status;
}

bool quantization_changes(Segment& segment) {
    return with_real_kind(segment.kind, [&](auto kind) { return any_moves<kind()>(segment); });
}

double squared_distance(Kind kind, size_t n_elements, const uint8_t* a, const uint8_t* b) {
    return with_real_kind(kind, [&](auto constant) {
        constexpr Kind real_kind = constant();
        const auto value = [&](const uint8_t* of, size_t i) { return of ? static_cast<double>(RealOf<real_kind>::value(NumberOf<real_kind>::load(of, i))) : 0.0; };
        double sum = 0;
        for (size_t i = 0; i < n_elements; ++i) {
            const double difference = value(a, i) - value(b, i);
            if (std::isfinite(difference)) sum += difference * difference;
        }
        return sum;
    });
}

size_t means_bytes(Kind kind, unsigned n_means, size_t n_elements) { return n_means * n_elements * mean_bytes(kind); }
size_t level_contexts_bytes() { return sizeof(LevelContexts); }
void reset_level_contexts(uint8_t* contexts) { reinterpret_cast<LevelContexts*>(contexts)->reset(); }

}  // namespace incnnr
