#include <new>

#include "nnc_layer.h"

namespace incnnr {
namespace {

Status encode_layers(NncLayer* layers, size_t n_layers, uint8_t** bytes, size_t* n_bytes) {
    ByteSink sink;
    NncEncoder coder(sink);
    for (size_t i = 0; i < n_layers; ++i)
        if (encode_layer(coder, layers[i]) != NncFault::none) return Status::corrupt;
    coder.finish();
    if (sink.failed()) return Status::out_of_memory;
    *n_bytes = sink.size();
    *bytes = sink.release();
    return Status::ok;
}

Status decode_layers(NncLayer* layers, size_t n_layers, const uint8_t* bytes, size_t n_bytes, size_t* n_used) {
    NncDecoder coder(bytes, n_bytes);
    for (size_t i = 0; i < n_layers; ++i)
        if (decode_layer(coder, layers[i]) != NncFault::none) return Status::corrupt;
    if (!coder.terminates() || coder.has_overrun()) return Status::corrupt;
    *n_used = coder.n_bytes_used();
    return Status::ok;
}

}  // namespace

Status encode_nnc_codeword(NncLayer* layers, size_t n_layers, uint8_t** bytes, size_t* n_bytes) {
    try {
        return encode_layers(layers, n_layers, bytes, n_bytes);
    } catch (const std::bad_alloc&) {
        return Status::out_of_memory;
    }
}

Status decode_nnc_codeword(NncLayer* layers, size_t n_layers, const uint8_t* bytes, size_t n_bytes, size_t* n_used) {
    try {
        return decode_layers(layers, n_layers, bytes, n_bytes, n_used);
    } catch (const std::bad_alloc&) {
        return Status::out_of_memory;
    }
}

}  // namespace incnnr
