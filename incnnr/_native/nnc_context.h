// Adaptive contexts of ISO/IEC 15938-17: two integer states, each with an adaptation shift of its own.
//
// Everything that coding a bin does to states and ranges stands in tables, as this is where coding spends its time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace incnnr {

struct alignas(8) NncContext {
    uint16_t fast;  // s0 + 128, and from bit 8 on its shift - 4
    uint16_t slow;  // s1 + 2048, and from bit 13 on its shift - 4
    uint16_t row;   // (s1 + 16 * s0) / 128 + 32, which follows from both: from 32 on a one is the more probable symbol

    bool likely() const { return row >> 5; }
};

// s1 + 16 * s0 + 4096, below 8192.
constexpr unsigned nnc_combined_state(unsigned fast, unsigned slow) { return (slow & 0x1fff) + 16 * (fast & 0xff); }
constexpr uint16_t nnc_row_of(unsigned fast, unsigned slow) { return static_cast<uint16_t>(nnc_combined_state(fast, slow) >> 7); }

struct NncInitialState {
    int shift0;
    int shift1;
    int sum;  // s1 + 16 * s0
    int s0;
};

constexpr unsigned n_nnc_state_sets = 9;
inline constexpr std::array<NncInitialState, n_nnc_state_sets> nnc_state_sets = {{
    {5, 4, 0, 0},
    {5, 4, -1310, -41},
    {5, 4, 3039, 95},
    {4, 5, 0, 0},
    {6, 6, 962, 30},
    {6, 6, 3039, 95},
    {6, 6, -673, -21},
    {7, 5, 0, 0},
    {7, 5, 962, 30},
}};

constexpr NncContext nnc_context_of_set(unsigned set) {
    const NncInitialState& from = nnc_state_sets[set];
    const unsigned fast = static_cast<unsigned>((from.shift0 - 4) << 8 | (from.s0 + 128));
    const unsigned slow = static_cast<unsigned>((from.shift1 - 4) << 13 | (from.sum - 16 * from.s0 + 2048));
    return {static_cast<uint16_t>(fast), static_cast<uint16_t>(slow), nnc_row_of(fast, slow)};
}

constexpr int nnc_step(int at, int shift) {
    constexpr int curve[17] = {2512, 2288, 2064, 1840, 1616, 1392, 1168, 944, 720, 560, 464, 368, 272, 208, 144, 80, 64};
    return (at < 0 ? curve[at + 16] : at < 15 ? 64 : 0) >> shift;
}

// What a bin does to a context.
struct alignas(4096) NncSteps {
    uint16_t fast[4 * 256];  // the new value
    int16_t slow[4 * 64];    // the difference, by (slow - 1 + bin) / 128
};

// One decision at one range: what follows if the more and if the less probable symbol comes. Ranges have nine bits, of
// which the first is always set and is left out.
struct NncSplit {
    uint64_t packed;

    uint32_t range(bool unlikely) const { return static_cast<uint8_t>(packed >> (unlikely ? 16 : 0)); }
    unsigned shift(bool unlikely) const { return static_cast<uint8_t>(packed >> (unlikely ? 24 : 8)); }
    uint64_t threshold() const { return packed & (~uint64_t{0} << 55); }  // where the less probable part begins
};

// As many of the more probable symbol as first make a range lose a bit, and the range then.
struct NncRun {
    uint8_t n;
    uint8_t range;
};

struct NncTables {
    NncSteps steps[2];         // by bin
    NncSplit splits[64][256];  // by row of a context and range
    NncRun runs[64][256];      // likewise
};

constexpr NncSteps make_steps(int bin) {
    NncSteps steps{};
    const int sign = bin ? 1 : -1;
    for (int i = 0; i < 4 * 256; ++i) {
        const int s0 = i % 256 - 128;
        steps.fast[i] = static_cast<uint16_t>(i + sign * nnc_step((sign * s0) >> 3, 4 + i / 256));
    }
    // floor(s1 / 128) for a one, ceil(s1 / 128) for a zero
    for (int i = 0; i < 4 * 64; ++i)
        if (i % 64 < 32) steps.slow[i] = static_cast<int16_t>(sign * nnc_step(sign * (i % 64 - 16 + (bin ? 0 : 1)), 4 + i / 64));
    return steps;
}

constexpr unsigned nnc_shift_of(unsigned range) {
    unsigned shift = 0;
    while (range << shift < 256) ++shift;
    return shift;
}

constexpr unsigned nnc_unlikely_range(int row, unsigned range) {
    constexpr unsigned base[32] = {114, 100, 87, 75, 66, 58, 51, 45, 40, 35, 31, 27, 24, 21, 18, 16,
                                   14,  13,  11, 10, 9,  8,  7,  7,  5,  5,  4,  4,  3,  3,  2,  2};
    const int index = row - 32;  // of a state divided, and only then without its sign: the two signs differ
    return (base[(index < 0 ? -index : index) & 31] * ((range >> 5) + 9)) >> 3;
}

constexpr NncSplit make_split(int row, unsigned range) {
    const unsigned unlikely = nnc_unlikely_range(row, range);
    const unsigned likely = 256 + range - unlikely;
    const auto normal = [](unsigned r) { return nnc_shift_of(r) << 8 | (r << nnc_shift_of(r) & 255); };
    return {uint64_t{likely} << 55 | normal(unlikely) << 16 | normal(likely)};
}

constexpr NncRun make_run(int row, unsigned range) {
    unsigned n = 1, likely = 256 + range - nnc_unlikely_range(row, range);
    for (; likely >= 256; ++n) likely -= nnc_unlikely_range(row, likely - 256);
    return {static_cast<uint8_t>(n), static_cast<uint8_t>(2 * likely)};
}

constexpr NncTables make_tables() {
    NncTables tables{};
    tables.steps[0] = make_steps(0);
    tables.steps[1] = make_steps(1);
    for (int row = 0; row < 64; ++row)
        for (unsigned range = 0; range < 256; ++range) {
            tables.splits[row][range] = make_split(row, range);
            tables.runs[row][range] = make_run(row, range);
        }
    return tables;
}
inline constexpr NncTables nnc_tables = make_tables();

inline void adapt(NncContext& context, bool bin) {
    const NncSteps& steps = nnc_tables.steps[bin];
    const unsigned fast = steps.fast[context.fast];
    const unsigned slow = context.slow + static_cast<unsigned>(steps.slow[(context.slow - 1u + bin) >> 7]);
    context = {static_cast<uint16_t>(fast), static_cast<uint16_t>(slow), nnc_row_of(fast, slow)};
}

// Whether more zeros do not change it any more.
inline bool is_settled(const NncContext& context) {
    const NncSteps& steps = nnc_tables.steps[0];
    return steps.fast[context.fast] == context.fast && steps.slow[(context.slow - 1u) >> 7] == 0 && !context.likely();
}

// The empty assembly keeps compilers from adding range to row before row is known, which takes longer: ranges depend on
// each other, rows do not.
inline NncSplit split_of(const NncContext& context, uint32_t range) {
    const NncSplit* row = nnc_tables.splits[context.row];
#ifdef __GNUC__
    __asm__("" : "+r"(row));
#endif
    return row[range];
}

}  // namespace incnnr
