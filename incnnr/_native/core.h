// The native kernels of incnnr: plain pointers in, status codes out, no exceptions, no Python.
//
// Every function may be called from several threads at once on different data. Nothing is kept between calls. Input is
// read inside [pointer, pointer + size) only; output arrays are sized by the caller from the declared element counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace incnnr {

enum class Status : int {
    ok = 0,
    corrupt = 1,        // the coded bytes cannot have come from an encoder
    out_of_memory = 2,
    invalid = 3,        // what the caller asks to encode cannot be said
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
    quantized = 2,   // levels of a quantizer on the difference to what is predicted, then exact corrections
};

// How an encoder chooses levels.
enum class Search : uint8_t {
    nearest = 0,    // the least error
    dead_zone = 1,  // small differences become 0
    trellis = 2,    // dependent quantization, the best of error and estimated bits together
};

// Probability estimate of one binary decision; all-zero is not valid, see reset_contexts.
struct Context {
    uint32_t fast;  // bits 31..10: probability of a one, adapting quickly; bits 9..0: decisions seen, saturating
    uint32_t slow;  // probability of a one, adapting slowly
};

void reset_contexts(Context* contexts, size_t n);

// What is learned about one slice and lives on from update to update: contexts, which differ with the coding (none for
// Coding::intra), and, if wanted, the history of its elements: for Coding::inter what each did before, for Coding::quantized
// running means of its updates. Opaque outside of the kernels.
size_t contexts_bytes(Kind kind, Coding coding);
void reset_contexts(Kind kind, Coding coding, uint8_t* contexts);
size_t history_bytes(size_t n_elements);
void reset_history(size_t n_elements, uint8_t* history);
size_t means_bytes(Kind kind, unsigned n_means, size_t n_elements);  // all 0 at first
constexpr unsigned most_means = 2;
constexpr int32_t scales_per_octave = 1024;  // of a tensor's step

// One slice of one tensor. Elements are little-endian, arrays need no alignment.
struct Segment {
    Kind kind;
    Coding coding;
    size_t n_elements;
    const uint8_t* reference;  // what the decoder holds; null stands for zeros (never null with Coding::inter)
    const uint8_t* source;     // encoding only: the new values
    uint8_t* result;           // written: what the decoder holds afterwards; apart from the inputs, but for what
                               // decoding Coding::inter may write over its reference
    uint8_t* contexts;         // advanced in place; aligned to 8 bytes (null with Coding::intra)
    uint8_t* history;          // advanced in place; aligned to 8 bytes, null for none
    uint8_t* changed;          // decoding against a reference: bit i % 8 of byte i / 8 is set where result differs from
                               // it; zeros before, null if nobody asks
    bool keeps_before;         // decoding Coding::inter with `changed` only: whether to fill in `before`
    // Coding::quantized only:
    size_t width;              // of a row of the tensor
    unsigned n_means;          // running means of past updates that `history` holds
    double step_size;          // between the levels that dependent quantization chooses from
    // Coding::quantized, encoding only:
    Search search;
    int32_t scale;             // of the step: 1024 double it
    double max_error;          // bound of |result - source|; infinity for none
    double relative_error;     // 0, or the bound of the error's part of the difference, in rms: `scale` is then ignored
    // Filled in:
    uint64_t digest;           // XXH64 of result
    uint64_t n_changed;        // elements whose result differs from the reference (all of them with Coding::intra)
    uint8_t* before;           // the elements of the reference whose bits are set in `changed`, in order, also if decoding
    size_t before_bytes;       // fails; allocated by the call, released by the caller with free()
    double largest_error;      // encoding only: largest |result - source| over finite elements
    double squared_error;      // encoding only: the sum of its squares
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
// source and, with Coding::quantized, step and bounds are read; with Coding::quantized the errors of leaving it as it is are
// filled in. Intra segments are always changed.
void find_changed(Segment* segments, size_t n_segments, bool* changed, unsigned n_threads);

// The sum of squared differences of finite elements of a kind that can be quantized; null for zeros.
double squared_distance(Kind kind, size_t n_elements, const uint8_t* a, const uint8_t* b);

// Adaptive flags, one per slice. Flag i uses contexts[2 * last_flags[i] + flags[i - 1]]. The encoder allocates `bytes`,
// which the caller releases with free().
Status encode_flags(const uint8_t* flags, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t** bytes, size_t* n_bytes);
Status decode_flags(const uint8_t* bytes, size_t n_bytes, const uint8_t* last_flags, size_t n_flags, Context* contexts, uint8_t* flags);

// ---- ISO/IEC 15938-17 ----

// One parameter of a data unit: what the unit's header and the codec's state say about it, and what its codeword adds.
struct NncLayer {
    size_t height;
    size_t width;
    unsigned qp_bits;           // 6 + qp_density; 0 where no qp is sent
    unsigned block_size;        // 8 to 64; 0 scans row by row
    unsigned n_greater_flags;   // cabac_unary_length_minus1 + 1
    unsigned n_remainder_sets;  // 31; 32 in streams of NNCodec 1.x
    unsigned codebook_size;     // 0: no codebook, or one that profile 0 does not look at
    unsigned zero_offset;
    bool has_preamble;          // profile 1
    bool has_parent;            // parent_node_id_present_flag
    bool dependent;             // dq_flag
    bool single_row_resets;     // NNCodec 1.x: range 256 even with a single block row
    bool temporal;              // temporal_context_modeling_flag
    const int32_t* base;        // levels of the parent, looked at if temporal; null for all 0
    const uint8_t* history;     // 1 where an earlier level was not zero; null for all 0
    int32_t* levels;            // height * width, read by the encoder, written by the decoder
    // Sent in the codeword: read by the encoder, written by the decoder.
    int32_t qp_delta;
    bool history_contexts;      // hist_dep_sig_prob_enabled_flag
    bool row_skip;              // row_skip_enabled_flag
    std::vector<uint8_t> skipped_rows;  // 1 for each row of zeros that is not coded; empty without row_skip, or for none
    std::vector<uint8_t> state_sets;    // shift parameter id of each context, 0 where none is sent
    // Written: for each block row, where a decoder can enter the codeword.
    struct EntryPoint {
        uint64_t n_bits;        // taken before it, after the first 16
        uint8_t value;
        uint8_t state;
    };
    std::vector<EntryPoint> block_rows;
};

// The layers of a data unit, which share one arithmetic codeword.
struct NncCodeword {
    NncLayer* layers;
    size_t n_layers;
    uint8_t* bytes;  // encoding: allocated by the call, released by the caller with free(); decoding: input
    size_t n_bytes;
    size_t n_used;   // written by the decoder: how many of n_bytes the codeword has
    Status status;   // corrupt: an impossible level, no terminating bin, or more bits than there are;
                     // invalid: levels that the codebook, the dependent quantizer or a skipped row does not have
};

// Code every codeword, each with a status of its own, on up to n_threads threads, which end with the call. Results do not
// depend on n_threads.
void encode_nnc(NncCodeword* codewords, size_t n_codewords, unsigned n_threads);
void decode_nnc(NncCodeword* codewords, size_t n_codewords, unsigned n_threads);

// Fills, by estimated cost, what the layers leave to the encoder: state_sets, history_contexts, temporal (common to a
// codeword's layers), row_skip and skipped_rows. Rows stay as they are where skipping one changes what levels mean: with
// a dependent quantizer, blocks narrower than the layer, and a width that is no multiple of 4.
void choose_nnc_tools(NncCodeword* codewords, size_t n_codewords, unsigned n_threads);

// One matrix on its way from weights to levels, with the step sizes and states of ISO/IEC 15938-17.
struct NncQuantization {
    const float* weights;         // height * width
    int32_t* levels;              // written: a decoder returns float(level) * step_size
    size_t height;
    size_t width;
    float step_size;              // normal, and not above 2^126
    bool dependent;               // dq_flag: levels that the trellis has
    unsigned block_size;          // 8 to 64; 0 scans row by row
    double price_of_a_bit;        // the squared error that a bit is worth, in squared steps
    unsigned n_greater_flags;     // cabac_unary_length_minus1 + 1, for estimating bits
    const uint8_t* skipped_rows;  // height flags: such a row becomes zeros and is not coded; null for none
    bool in_range;                // written: whether all |weight / step_size| fit int32; if not, levels are unspecified
};

// Least sum of squared error and, with a price, of estimated bits, so far as pieces of 2^16 weights of a matrix are
// quantized each on its own. Work is spread over up to n_threads threads, which end with the call; results do not depend on
// n_threads.
Status quantize_nnc(NncQuantization* jobs, size_t n_jobs, unsigned n_threads);

// Whether loops use vectors of 64 bytes, which no result depends on: where the processor has them, unless there is an
// environment variable INCNNR_NO_WIDE_VECTORS. Found out once.
bool has_wide_vectors();

uint64_t xxh64(const uint8_t* data, size_t n_bytes, uint64_t seed);

}  // namespace incnnr
