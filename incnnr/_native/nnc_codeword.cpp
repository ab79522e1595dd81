#include <algorithm>
#include <memory>
#include <new>

#include "nnc_layer.h"
#include "parallel.h"

namespace incnnr {
namespace {

Status encode_codeword(NncCodeword& codeword) {
    ByteSink sink;
    NncEncoder coder(sink);
    for (size_t i = 0; i < codeword.n_layers; ++i)
        if (encode_layer(coder, codeword.layers[i]) != NncFault::none) return Status::invalid;
    coder.finish();
    if (sink.failed()) return Status::out_of_memory;
    for (size_t i = 0; i < codeword.n_layers; ++i) complete_entry_points(codeword.layers[i], sink.data(), sink.size());
    codeword.n_bytes = sink.size();
    codeword.bytes = sink.release();
    return Status::ok;
}

// Behind the arithmetic bits there is a stop bit, and zeros up to the byte boundary.
bool has_stop_bit(const NncCodeword& codeword, uint64_t n_bits_taken) {
    const unsigned n_left = 8 - static_cast<unsigned>(n_bits_taken % 8);
    return (codeword.bytes[codeword.n_used - 1] & ((1u << n_left) - 1)) == 1u << (n_left - 1);
}

Status decode_codeword(NncCodeword& codeword) {
    NncDecoder coder(codeword.bytes, codeword.n_bytes);
    for (size_t i = 0; i < codeword.n_layers; ++i)
        if (decode_layer(coder, codeword.layers[i]) != NncFault::none) return Status::corrupt;
    if (!coder.terminates() || coder.has_overrun()) return Status::corrupt;
    codeword.n_used = coder.n_bytes_used();
    return has_stop_bit(codeword, coder.n_bits_taken()) ? Status::ok : Status::corrupt;
}

size_t n_weights(const NncCodeword& codeword) {
    size_t n = 0;
    for (size_t i = 0; i < codeword.n_layers; ++i) n += codeword.layers[i].height * codeword.layers[i].width;
    return n;
}

// The largest first, so that no thread starts one when the others have run out of work.
template <class CodeOne>
void code_all(NncCodeword* codewords, size_t n_codewords, unsigned n_threads, CodeOne code_one) {
    const std::unique_ptr<NncCodeword*[]> order(new (std::nothrow) NncCodeword*[n_codewords]);
    for (size_t i = 0; i < n_codewords; ++i) {
        codewords[i].status = Status::out_of_memory;
        if (order) order[i] = codewords + i;
    }
    if (!order) return;
    std::sort(order.get(), order.get() + n_codewords, [](const NncCodeword* a, const NncCodeword* b) { return n_weights(*a) > n_weights(*b); });
    in_parallel(n_codewords, n_threads, [&](size_t i) {
        NncCodeword& codeword = *order[i];
        try {
            codeword.status = code_one(codeword);
        } catch (const std::bad_alloc&) {  // the status says so already
        }
    });
}

}  // namespace

void choose_nnc_tools(NncCodeword* codewords, size_t n_codewords, unsigned n_threads) {
    code_all(codewords, n_codewords, n_threads, [](NncCodeword& codeword) {
        choose_tools(codeword.layers, codeword.n_layers);
        return Status::ok;
    });
}

void encode_nnc(NncCodeword* codewords, size_t n_codewords, unsigned n_threads) {
    code_all(codewords, n_codewords, n_threads, encode_codeword);
}

void decode_nnc(NncCodeword* codewords, size_t n_codewords, unsigned n_threads) {
    code_all(codewords, n_codewords, n_threads, decode_codeword);
}

}  // namespace incnnr
