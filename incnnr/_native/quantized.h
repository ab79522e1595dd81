// Slices coded as levels of a quantizer: the difference to what running means of past updates predict, then exact
// corrections.
#pragma once

#include "bulk.h"
#include "core.h"
#include "engine.h"
#include "slice_arrays.h"

namespace incnnr {

void encode_quantized(Encoder& coder, Segment& segment, Workspace& workspace);
Status decode_quantized(Decoder& coder, Segment& segment, Workspace& workspace);

// Is any weight too far from its reference to stay? Fills in the errors if all do.
bool quantization_changes(Segment& segment);

size_t level_contexts_bytes();
void reset_level_contexts(uint8_t* contexts);

}  // namespace incnnr
