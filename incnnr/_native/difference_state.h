// What is remembered of a slice for the exact coding of its next difference.
#pragma once

#include "change_rates.h"
#include "context_model.h"
#include "numbers.h"
#include "odds.h"

namespace incnnr {

// How a chunk of elements is coded.
enum class ChunkMode : uint8_t {
    sparse = 0,  // changes on the clock
    dense = 1,   // a magnitude for each element
    plain = 2,   // the elements themselves, in bulk
};

// Lengths of stretches, in 1/256 of what was aimed at: 0..7, then eight to the octave.
constexpr unsigned n_lengths = 64;

inline uint64_t scale_of(uint32_t stretch) { return (uint64_t{1} << 40) / stretch; }

inline unsigned length_of(uint32_t hazard, uint64_t scale) {
    const uint64_t x = hazard * scale >> 32;
    const auto octave = static_cast<unsigned>(60 - __builtin_clzll(x | 8));
    return std::min(static_cast<unsigned>(8 * octave + (x >> octave)), n_lengths - 1);
}

// Magnitude class: 0, or the number of bits, at most 63.
constexpr unsigned n_class_bits(unsigned n_bits) { return n_bits == 8 ? 4 : n_bits == 16 ? 5 : 6; }

template <unsigned class_bits>
struct DifferenceState {
    ChangeRates<n_buckets> rates;
    Context coded[3];                // mode is not sparse, by the mode before
    Context plain[3];                // nor dense
    Context changed[n_buckets];      // each element by itself
    Context negative;
    Context greater[n_buckets];      // magnitude > 1
    Context magnitude[n_buckets][1u << class_bits];
    Context top_bits[64][3];         // the two bits below the leading one
    Context round[64];               // the bits below those are all 0
    Odds changes[n_lengths];         // sparse chunks: something changes in a stretch
    Odds more[n_lengths];            // and more behind the change just found
    Odds falls[n_buckets];           // the change is downwards
    Odds leaps[n_buckets];           // its magnitude is > 1

    void reset() {
        rates.reset();
        for (Context* c = coded; c != round + 64; ++c) *c = fresh_context();
        for (unsigned i = 0; i < n_lengths; ++i) changes[i] = more[i] = change_within(i);
        for (unsigned i = 0; i < n_buckets; ++i) falls[i] = even_odds, leaps[i] = {1u << 29, 2};
    }

private:
    // As if changes came independently; worth some decisions.
    static Odds change_within(unsigned length) {
        const uint64_t octave = length < 8 ? 0 : length / 8 - 1;
        const uint64_t x = 11 * (2 * ((length - 8 * octave) << octave) + (1u << octave));  // hazard in 1/8192
        const uint64_t e_to_x = (uint64_t{1} << 26) + (x << 13) + x * x / 2 + (x * x * x / 6 >> 13);
        const auto p = static_cast<uint32_t>((uint64_t{1} << 32) - (uint64_t{1} << 58) / e_to_x);
        return {p, 8};
    }
};

template <Kind kind>
using DifferenceStateOf = DifferenceState<n_class_bits(NumberOf<kind>::n_bits)>;

}  // namespace incnnr
