// Coding of one segment inside a codeword that is already open.
#pragma once

#include "binarization.h"
#include "bulk.h"
#include "core.h"
#include "slice_arrays.h"

namespace incnnr {

// `intra` is only looked at, and only needed, with Coding::intra.
void encode_segment(Encoder& coder, BulkEncoder& bulk, Segment& segment, IntraContexts* intra, Workspace& workspace);
Status decode_segment(Decoder& coder, BulkDecoder& bulk, Segment& segment, IntraContexts* intra, Workspace& workspace);
bool is_changed(Segment& segment);

}  // namespace incnnr
