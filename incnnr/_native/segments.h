// Coding of one segment inside a codeword that is already open.
#pragma once

#include "binarization.h"
#include "bulk.h"
#include "core.h"

namespace incnnr {

// `intra` is only looked at, and only needed, with Coding::intra.
void encode_segment(Encoder& coder, BulkEncoder& bulk, Segment& segment, IntraContexts* intra);
Status decode_segment(Decoder& coder, BulkDecoder& bulk, Segment& segment, IntraContexts* intra);
bool is_changed(Segment& segment);

}  // namespace incnnr
