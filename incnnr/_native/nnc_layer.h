// One parameter of a data unit of the standard. Context numbers are those of edition 2.
#pragma once

#include "core.h"
#include "nnc_engine.h"

namespace incnnr {

enum class NncFault { none, overrun, wrong_level };

// Whether the codeword says anything about history and skipped rows.
bool has_preamble(const NncLayer& layer);

NncFault encode_layer(NncEncoder& coder, NncLayer& layer);
NncFault decode_layer(NncDecoder& coder, NncLayer& layer);

// Chooses state sets, skipped rows, history and temporal contexts of the layers of one unit.
void choose_tools(NncLayer* layers, size_t n_layers);

// The value at an entry point is what the codeword holds there above the low end of the interval, which the encoder left
// in its place: the codeword itself is known only at its end, carries included.
void complete_entry_points(NncLayer& layer, const uint8_t* codeword, size_t n_bytes);

// First context and number of contexts of each group.
struct NncContexts {
    static constexpr unsigned significant = 0;
    static constexpr unsigned significant_temporal = 24;
    static constexpr unsigned significant_history = 40;
    static constexpr unsigned sign = 48;
    static constexpr unsigned sign_temporal = 51;
    static constexpr unsigned greater = 53;

    unsigned n_greater_flags;

    unsigned greater_temporal() const { return greater + 2 * n_greater_flags; }
    unsigned remainder() const { return greater + 4 * n_greater_flags; }
    unsigned state_set_present() const { return remainder() + 34; }
    unsigned row_skip() const { return remainder() + 36; }
    unsigned count() const { return remainder() + 37; }
};

}  // namespace incnnr
