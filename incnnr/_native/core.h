// The native kernels of incnnr: plain pointers in, status codes out, no exceptions, no Python.
//
// Every function may be called from several threads at once on different data. Nothing is kept between calls. Input is
// read inside [pointer, pointer + size) only; output arrays are sized by the caller from the declared element counts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace incnnr {

enum class Status : int {
    ok = 0,
    corrupt = 1,        // the coded bytes cannot have come from an encoder
    out_of_memory = 2,
};

// How one element is read. The values stand in the bitstream (tensors.Kind in Python).
enum class Kind : uint8_t {
    uint8 = 0, uint16, uint32, uint64,
    int8, int16, int32, int64,
    float8_e4m3, float8_e5m2, float16, bfloat16, float32, float64,
};
constexpr unsigned n_kinds = 14;

// Bytes of one element.
size_t element_bytes(Kind kind);

// How a segment is coded.
enum class Coding : uint8_t {
    intra = 0,       // exact, without a reference
    inter = 1,       // exact, as the difference of ordered integers to the reference
    quantized = 2,   // levels of a uniform quantizer on the difference to the reference, then exact corrections
};

// Probability estimate of one binary decision; all-zero is not valid, see reset_contexts.
struct Context {
    uint32_t fast;  // bits 31..10: probability of a one, adapting quickly; bits 9..0: decisions seen, saturating
    uint32_t slow;  // probability of a one, adapting slowly
};

// Contexts that belong to one slice and live on from update to update.
extern const size_t contexts_per_slice;
void reset_contexts(Context* contexts, size_t n);

// One slice of one tensor. Elements are little-endian, arrays need no alignment.
struct Segment {
    Kind kind;
    Coding coding;
    size_t n_elements;
    const uint8_t* reference;  // what the decoder holds; null stands for zeros (never null with Coding::inter)
    const uint8_t* source;     // encoding only: the new values
    uint8_t* result;           // written: what the decoder holds afterwards; must not overlap the inputs
    Context* contexts;         // contexts_per_slice of them, advanced in place (unused by Coding::intra)
    double step_size;          // Coding::quantized only
    double max_error;          // Coding::quantized, encoding only: bound of |result - source|; infinity for none
    // Filled in:
    uint64_t digest;           // XXH64 of result
    uint64_t n_changed;        // elements whose result differs from the reference (all of them with Coding::intra)
    double largest_error;      // encoding only: largest |result - source| over finite elements
};

// Segments that share one arithmetic codeword.
struct Codeword {
    Segment* segments;
    size_t n_segments;
    uint8_t* bytes;    // encoding: allocated by the call, released by the caller with free(); decoding: input
    size_t n_bytes;
    Status status;
};

// Code every codeword on up to n_threads threads, which end with the call. Results do not depend on n_threads.
// The first bad status in codeword order is returned; arrays of all segments are then unspecified.
Status encode_codewords(Codeword* codewords, size_t n_codewords, unsigned n_threads);
Status decode_codewords(Codeword* codewords, size_t n_codewords, unsigned n_threads);

// For each segment: would encoding it give anything but the reference back? Only kind, coding, n_elements, reference,
// source, step_size and max_error are read. Intra segments are always changed.
void find_changed(const Segment* segments, size_t n_segments, bool* changed, unsigned n_threads);

// Adaptive flags, one per slice. Flag i uses contexts[2 * last_flags[i] + flags[i - 1]]. The encoder allocates `bytes`,
// which the caller releases with free().
Status encode_flags(const uint8_t* flags, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t** bytes, size_t* n_bytes);
Status decode_flags(const uint8_t* bytes, size_t n_bytes, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t* flags);

uint64_t xxh64(const uint8_t* data, size_t n_bytes, uint64_t seed);

}  // namespace incnnr
