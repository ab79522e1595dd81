#include "dependent.h"

#include <algorithm>

#include "trellis.h"

namespace incnnr {
namespace {

constexpr size_t tile_weights = 64;

// Squared distances of weights to the nearest level of each residue modulo 4.
struct Distances {
    Float4 to[4][tile_weights / 4];

    const float* of(int residue) const { return reinterpret_cast<const float*>(to[residue]); }
};

// The magnitude base + x, base a multiple of 4 and x in -2..2, falls to the level base + residue - 4 below this x, else to
// base + residue. Lowest (base 0) is 1 or 0: there is no level -1, but zero in its place.
inline Float4 threshold_3(Float4 lowest) { return 1.0f + 0.5f * lowest; }
inline Float4 threshold(Mask4 residue, Float4 lowest) {
    return residue == 3 ? threshold_3(lowest) : __builtin_convertvector(residue - 2, Float4);
}

inline Float4 is_lowest(Mask4 base) { return base == 0 ? all_lanes(1.0f) : all_lanes(0.0f); }

inline Float4 squared_distance(Float4 x, Float4 limit, Float4 below, float above) {
    const Float4 distance = x - (x < limit ? below : all_lanes(above));
    return distance * distance;
}

void measure(Distances& distances, const int32_t* bases, const float* fractions, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        const auto x = load<Float4>(fractions + i);
        const Float4 lowest = is_lowest(load<Mask4>(bases + i));
        distances.to[0][i / 4] = x * x;
        distances.to[1][i / 4] = squared_distance(x, all_lanes(-1.0f), all_lanes(-3.0f), 1.0f);
        distances.to[2][i / 4] = squared_distance(x, all_lanes(0.0f), all_lanes(-2.0f), 2.0f);
        distances.to[3][i / 4] = squared_distance(x, threshold_3(lowest), lowest - 1.0f, 3.0f);
    }
}

}  // namespace

void DependentQuantizer::quantize(Piece& piece, double inverse_step) {
    magnitudes_.load(piece.weights.data(), piece.n_weights, inverse_step);
    parities_.resize(piece.n_weights);
    costs_ = only_in(piece.start_state);
    for (size_t i = 0; i < piece.n_weights; i += tile_weights) pass_tile(piece, i, std::min(piece.n_weights - i, tile_weights));
    trace_back(piece);
    choose_levels(piece);
}

void DependentQuantizer::pass_tile(const Piece& piece, size_t first, size_t n) {
    Distances distances;
    measure(distances, &magnitudes_.bases[first], &magnitudes_.fractions[first], n);
    ByState<Float4> costs = costs_;
    for (size_t i = 0; i < n; ++i) {
        costs = after_zeros(costs, piece.gaps[first + i] & gap::zeros);
        const ByState<Float4> swapped = {swap_halves(costs.even), swap_halves(costs.odd)};
        const Arrival arrival = arrive({costs.even + all_lanes(distances.of(0)[i]), costs.odd + all_lanes(distances.of(3)[i])},
                                       {swapped.even + all_lanes(distances.of(2)[i]), swapped.odd + all_lanes(distances.of(1)[i])});
        parities_[first + i] = static_cast<uint8_t>(arrival.parities());
        costs = arrival.costs();
    }
    // A step costs at most 4: taking the least off once a tile keeps the rounding of sums far below any difference.
    const Float4 least = all_lanes(smallest(costs));
    costs_ = {costs.even - least, costs.odd - least};
}

// Leaves in `levels` their residues modulo 4, and the state that the next piece begins in.
void DependentQuantizer::trace_back(Piece& piece) const {
    constexpr int32_t residue_of[2][2] = {{0, 2}, {3, 1}};  // [state % 2][parity]
    unsigned state = piece.ends_in_state_0 ? 0 : cheapest(costs_);
    unsigned behind_kept = state;
    for (size_t i = piece.n_weights; i-- > 0;) {
        const unsigned parity = parities_[i] >> state & 1;
        state = source_of[state][parity];
        piece.levels[i] = residue_of[state % 2][parity];
        state = state_before_zeros(state, piece.gaps[i] & gap::zeros);
        if (i == piece.n_kept) behind_kept = state;
    }
    piece.end_state = state_after_zeros(behind_kept, piece.kept_zeros);
}

void DependentQuantizer::choose_levels(Piece& piece) const {
    for (size_t i = 0; i < piece.n_weights; i += 4) {
        const auto residue = load<Mask4>(&piece.levels[i]);
        const auto base = load<Mask4>(&magnitudes_.bases[i]);
        const Mask4 below = load<Float4>(&magnitudes_.fractions[i]) < threshold(residue, is_lowest(base));
        const Mask4 near = base + residue - (below & 4);
        const Mask4 magnitude = near & (near >= 0);
        const Mask4 negative = load<Float4>(&piece.weights[i]) < 0.0f;
        store(&piece.levels[i], (magnitude ^ negative) - negative);
    }
}

}  // namespace incnnr
