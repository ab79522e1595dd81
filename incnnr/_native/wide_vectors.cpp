#include "wide_vectors.h"

#include "core.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdlib>

namespace incnnr {
namespace {

[[gnu::target("avx512f")]] __m512i sums_up_to_each(__m512i x) {
    const __m512i zero = _mm512_setzero_si512();
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 15));
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 14));
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 12));
    return _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 8));
}

[[gnu::target("avx512f")]] unsigned wind_in_sixteens(const uint16_t* classes, unsigned n, const uint32_t* hazards, uint32_t* times, uint32_t& time) {
    const __m512i first = _mm512_loadu_si512(hazards), second = _mm512_loadu_si512(hazards + 16);
    const __m512i third = _mm512_loadu_si512(hazards + 32), fourth = _mm512_loadu_si512(hazards + 48);
    const __m512i last_lane = _mm512_set1_epi32(15), upper_half = _mm512_set1_epi32(32);
    __m512i now = _mm512_set1_epi32(static_cast<int>(time));
    unsigned i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512i c = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(classes + i)));
        const __m512i low = _mm512_permutex2var_epi32(first, c, second);
        const __m512i high = _mm512_permutex2var_epi32(third, c, fourth);
        const __m512i own = _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(c, upper_half), high);
        const __m512i sums = sums_up_to_each(own);
        _mm512_storeu_si512(times + i, _mm512_add_epi32(now, _mm512_sub_epi32(sums, own)));
        now = _mm512_add_epi32(now, _mm512_permutexvar_epi32(last_lane, sums));
    }
    time = static_cast<uint32_t>(_mm512_cvtsi512_si32(now));
    return i;
}

[[gnu::target("avx512f,avx512bw")]] unsigned compare_in_sixty_fours(const uint8_t* from, const uint8_t* to, unsigned n, uint64_t* bits) {
    unsigned i = 0;
    for (; i + 64 <= n; i += 64) {
        const uint32_t low = _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(from + 2 * i), _mm512_loadu_si512(to + 2 * i));
        const uint32_t high = _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(from + 2 * i + 64), _mm512_loadu_si512(to + 2 * i + 64));
        bits[i / 64] = uint64_t{high} << 32 | low;
    }
    return i;
}

}  // namespace

bool has_wide_vectors() {
    static const bool has =
        std::getenv("INCNNR_NO_WIDE_VECTORS") == nullptr && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    return has;
}

unsigned wind_wide(const uint16_t* classes, unsigned n, const uint32_t* hazards, uint32_t* times, uint32_t& time) {
    return has_wide_vectors() ? wind_in_sixteens(classes, n, hazards, times, time) : 0;
}

unsigned compare_wide(const uint8_t* from, const uint8_t* to, unsigned n, uint64_t* bits) {
    return has_wide_vectors() ? compare_in_sixty_fours(from, to, n, bits) : 0;
}

}  // namespace incnnr

#else

namespace incnnr {

bool has_wide_vectors() { return false; }
unsigned wind_wide(const uint16_t*, unsigned, const uint32_t*, uint32_t*, uint32_t&) { return 0; }
unsigned compare_wide(const uint8_t*, const uint8_t*, unsigned, uint64_t*) { return 0; }

}  // namespace incnnr

#endif
