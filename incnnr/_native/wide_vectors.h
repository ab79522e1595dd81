// Loops over a chunk for processors with vectors of 64 bytes, found out at run time. Each does as many elements as it can,
// none on other processors, and says how many: its caller does the others, to the same result.
#pragma once

#include <cstdint>

namespace incnnr {

// times[i] = sum of hazards[classes[j]] over j < i; classes are below 64. `time` becomes the sum over all that were done.
unsigned wind_wide(const uint16_t* classes, unsigned n, const uint32_t* hazards, uint32_t* times, uint32_t& time);

// Bit i % 64 of bits[i / 64] is whether element i, of two bytes, differs. Does multiples of 64.
unsigned compare_wide(const uint8_t* from, const uint8_t* to, unsigned n, uint64_t* bits);

}  // namespace incnnr
