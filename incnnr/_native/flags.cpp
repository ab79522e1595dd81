#include "engine.h"
#include "xxh64.h"

namespace incnnr {
namespace {

template <class Coder, class Flag>
void code_flags(Coder& coder, Flag* flags, const uint8_t* last_flags, size_t n_flags, Context* contexts) {
    bool before = false;
    for (size_t i = 0; i < n_flags; ++i) {
        before = coder.template bit<FlagRates>(contexts[2 * last_flags[i] + before], Coder::is_encoder && flags[i]);
        if constexpr (!Coder::is_encoder) flags[i] = before;
    }
}

}  // namespace

Status encode_flags(const uint8_t* flags, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t** bytes, size_t* n_bytes) {
    ByteSink sink;
    Encoder coder(sink);
    code_flags(coder, flags, last_flags, n_flags, contexts);
    coder.finish();
    if (sink.failed()) return Status::out_of_memory;
    *n_bytes = sink.size();
    *bytes = sink.release();
    return Status::ok;
}

Status decode_flags(const uint8_t* bytes, size_t n_bytes, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t* flags) {
    Decoder coder(bytes, n_bytes);
    code_flags(coder, flags, last_flags, n_flags, contexts);
    return coder.finish();
}

void reset_contexts(Context* contexts, size_t n) {
    for (size_t i = 0; i < n; ++i) contexts[i] = fresh_context();
}

uint64_t xxh64(const uint8_t* data, size_t n_bytes, uint64_t seed) { return Xxh64::hash(data, n_bytes, seed); }

}  // namespace incnnr
