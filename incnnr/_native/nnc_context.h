// Adaptive contexts of ISO/IEC 15938-17: two integer states, each with an adaptation shift of its own.
#pragma once

#include <array>
#include <cstdint>

namespace incnnr {

struct NncContext {
    int16_t s0;
    int16_t s1;
    uint8_t shift0;
    uint8_t shift1;
};

struct NncInitialState {
    uint8_t shift0;
    uint8_t shift1;
    int16_t s0;
    int16_t s1;
};

constexpr NncInitialState nnc_initial_state(int a, int b, int sum, int s0) {
    return {static_cast<uint8_t>(a + 4), static_cast<uint8_t>(b), static_cast<int16_t>(s0), static_cast<int16_t>(sum - 16 * s0)};
}

constexpr unsigned n_nnc_state_sets = 9;
inline constexpr std::array<NncInitialState, n_nnc_state_sets> nnc_state_sets = {
    nnc_initial_state(1, 4, 0, 0),    nnc_initial_state(1, 4, -1310, -41), nnc_initial_state(1, 4, 3039, 95),
    nnc_initial_state(0, 5, 0, 0),    nnc_initial_state(2, 6, 962, 30),    nnc_initial_state(2, 6, 3039, 95),
    nnc_initial_state(2, 6, -673, -21), nnc_initial_state(3, 5, 0, 0),    nnc_initial_state(3, 5, 962, 30),
};

inline void start_from_set(NncContext& context, unsigned set) {
    const NncInitialState& from = nnc_state_sets[set];
    context = {from.s0, from.s1, from.shift0, from.shift1};
}

inline int combined_state(const NncContext& context) { return context.s1 + 16 * context.s0; }

// LPS ranges: row r serves ranges 32 * (8 + r) to 32 * (8 + r) + 31.
constexpr std::array<std::array<uint8_t, 32>, 8> make_lps_ranges() {
    constexpr int base[32] = {114, 100, 87, 75, 66, 58, 51, 45, 40, 35, 31, 27, 24, 21, 18, 16,
                              14,  13,  11, 10, 9,  8,  7,  7,  5,  5,  4,  4,  3,  3,  2,  2};
    std::array<std::array<uint8_t, 32>, 8> ranges{};
    for (unsigned row = 0; row < 8; ++row)
        for (unsigned i = 0; i < 32; ++i) ranges[row][i] = static_cast<uint8_t>((base[i] * static_cast<int>(row + 9)) >> 3);
    return ranges;
}
inline constexpr auto nnc_lps_ranges = make_lps_ranges();

inline uint32_t lps_range(uint32_t range, int state) {
    const int index = state >> 7;  // floor, and only then the absolute value: the two signs differ
    return nnc_lps_ranges[(range >> 5) & 7][static_cast<unsigned>(index < 0 ? -index : index) & 31];
}

inline constexpr std::array<int16_t, 33> nnc_update_curve = {2512, 2288, 2064, 1840, 1616, 1392, 1168, 944, 720, 560, 464, 368, 272, 208, 144, 80, 64,
                                                             64,   64,   64,   64,   64,   64,   64,   64,  64,  64,  64,  64,  64,  64,  0,   0};

inline void adapt(NncContext& context, bool bit) {
    const int direction = bit ? 1 : -1;
    const auto curve = [](int at) { return nnc_update_curve[static_cast<unsigned>(16 + at)]; };
    context.s0 = static_cast<int16_t>(context.s0 + direction * (curve((direction * context.s0) >> 3) >> context.shift0));
    context.s1 = static_cast<int16_t>(context.s1 + direction * (curve((direction * context.s1) >> 7) >> context.shift1));
}

}  // namespace incnnr
