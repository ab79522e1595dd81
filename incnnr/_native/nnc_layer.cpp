#include "nnc_layer_coder.h"

namespace incnnr {
namespace {

template <class Coder>
NncFault code_layer(Coder& coder, NncLayer& layer) {
    LayerCoder<Coder> parts(coder, layer);
    parts.code_header();
    return parts.code_weights();
}

}  // namespace

bool has_preamble(const NncLayer& layer) { return layer.has_preamble && layer.width > 1 && layer.height > 1 && layer.codebook_size != 1; }

NncFault encode_layer(NncEncoder& coder, NncLayer& layer) { return code_layer(coder, layer); }
NncFault decode_layer(NncDecoder& coder, NncLayer& layer) { return code_layer(coder, layer); }

void complete_entry_points(NncLayer& layer, const uint8_t* codeword, size_t n_bytes) {
    for (NncLayer::EntryPoint& row : layer.block_rows) {
        const auto byte_at = [&](uint64_t i) { return i < n_bytes ? uint32_t{codeword[i]} : 0u; };
        const uint64_t first = (row.n_bits + 1) / 8;
        const uint32_t held = byte_at(first) << 8 | byte_at(first + 1);
        row.value = static_cast<uint8_t>((held >> (8 - (row.n_bits + 1) % 8)) - row.value);
    }
}

}  // namespace incnnr
