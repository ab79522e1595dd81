#include <memory>
#include <new>

#include "engine.h"
#include "parallel.h"
#include "segments.h"

namespace incnnr {

namespace {

// Large enough to be worth leaving out of the many codewords that hold only differences.
Status make_intra_contexts(const Codeword& codeword, std::unique_ptr<IntraContexts>& contexts) {
    const Segment* const end = codeword.segments + codeword.n_segments;
    if (std::none_of(static_cast<const Segment*>(codeword.segments), end, [](const Segment& s) { return s.coding == Coding::intra; })) return Status::ok;
    contexts.reset(new (std::nothrow) IntraContexts);
    if (!contexts) return Status::out_of_memory;
    reset_contexts(reinterpret_cast<Context*>(contexts.get()), sizeof(IntraContexts) / sizeof(Context));
    return Status::ok;
}

// The size of the bulk, the bulk, the arithmetic codeword.
Status join(const ByteSink& arithmetic, const ByteSink& bulk, Codeword& codeword) {
    ByteSink whole;
    if (arithmetic.failed() || bulk.failed() || !whole.reserve(most_varint_bytes + bulk.size() + arithmetic.size())) return Status::out_of_memory;
    put_varint(whole, bulk.size());
    whole.put(bulk);
    whole.put(arithmetic);
    codeword.n_bytes = whole.size();
    codeword.bytes = whole.release();
    return Status::ok;
}

Status encode_codeword(Codeword& codeword, Workspace& workspace) {
    std::unique_ptr<IntraContexts> intra;
    if (const Status status = make_intra_contexts(codeword, intra); status != Status::ok) return status;
    ByteSink arithmetic_sink, bulk_sink;
    Encoder coder(arithmetic_sink);
    BulkEncoder bulk(bulk_sink);
    for (size_t i = 0; i < codeword.n_segments; ++i) encode_segment(coder, bulk, codeword.segments[i], intra.get(), workspace);
    coder.finish();
    bulk.finish();
    return join(arithmetic_sink, bulk_sink, codeword);
}

Status decode_codeword(Codeword& codeword, Workspace& workspace) {
    std::unique_ptr<IntraContexts> intra;
    if (const Status status = make_intra_contexts(codeword, intra); status != Status::ok) return status;
    const uint8_t* start = codeword.bytes;
    const uint8_t* const end = start + codeword.n_bytes;
    uint64_t bulk_bytes = 0;
    if (!take_varint(start, end, bulk_bytes) || bulk_bytes > static_cast<size_t>(end - start)) return Status::corrupt;
    BulkDecoder bulk(start, bulk_bytes);
    Decoder coder(start + bulk_bytes, static_cast<size_t>(end - start) - bulk_bytes);
    for (size_t i = 0; i < codeword.n_segments; ++i)
        if (const Status status = decode_segment(coder, bulk, codeword.segments[i], intra.get(), workspace); status != Status::ok) return status;
    return bulk.finish() == Status::ok ? coder.finish() : Status::corrupt;
}

template <class CodeOne>
Status code_all(Codeword* codewords, size_t n_codewords, unsigned n_threads, CodeOne code_one) {
    in_parallel_with<Workspace>(n_codewords, n_threads, [&](size_t i, Workspace& workspace) {
        try {
            codewords[i].status = code_one(codewords[i], workspace);
        } catch (const std::bad_alloc&) {
            codewords[i].status = Status::out_of_memory;
        }
    });
    for (size_t i = 0; i < n_codewords; ++i)
        if (codewords[i].status != Status::ok) return codewords[i].status;
    return Status::ok;
}

}  // namespace

Status encode_codewords(Codeword* codewords, size_t n_codewords, unsigned n_threads) {
    return code_all(codewords, n_codewords, n_threads, encode_codeword);
}

Status decode_codewords(Codeword* codewords, size_t n_codewords, unsigned n_threads) {
    return code_all(codewords, n_codewords, n_threads, decode_codeword);
}

void find_changed(Segment* segments, size_t n_segments, bool* changed, unsigned n_threads) {
    in_parallel(n_segments, n_threads, [&](size_t i) { changed[i] = is_changed(segments[i]); });
}

}  // namespace incnnr
