// Exact coding of a slice as its difference to a reference, chunk by chunk.
//
// In a chunk where few elements change, each element has a hazard: how likely it is to change, as learned for elements
// like it. Added up in order, hazards make a clock, and changes come evenly on it. What is coded is where on the clock
// the next change is: whether it is within the next stretch, and then at which element. So the work, like the bits, is
// for the changes and not for the elements.
#pragma once

#include "bulk.h"
#include "core.h"
#include "engine.h"

namespace incnnr {

void encode_differences(Encoder& coder, BulkEncoder& bulk, Segment& segment);
Status decode_differences(Decoder& coder, BulkDecoder& bulk, Segment& segment);

size_t difference_state_bytes(Kind kind);
void reset_difference_state(Kind kind, uint8_t* state);

}  // namespace incnnr
