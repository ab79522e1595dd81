#include "level_search.h"

#include "nnc_estimate.h"

namespace incnnr {
namespace {

constexpr size_t weights_per_price = 512;
constexpr uint8_t untraced = 255;
constexpr unsigned table_bits = 12;

constexpr std::array<float, 1u << table_bits> make_bits_of_a_one() {
    std::array<float, 1u << table_bits> bits{};
    for (unsigned i = 0; i < bits.size(); ++i) bits[i] = static_cast<float>(bits_of_probability((i + 0.5) / static_cast<double>(bits.size())));
    return bits;
}
constexpr auto bits_of_a_one = make_bits_of_a_one();

struct BinPrices {
    float zero, one;
};
BinPrices price_of(const Context& context) {
    const uint32_t one = probability_of_one(context) >> (probability_bits - table_bits);
    return {bits_of_a_one[bits_of_a_one.size() - 1 - one], bits_of_a_one[one]};
}

ByState<Float4> by_state(const float (&v)[8]) { return {Float4{v[0], v[2], v[4], v[6]}, Float4{v[7], v[5], v[3], v[1]}}; }

// Codes nothing: contexts learn.
struct Learner {
    static constexpr bool is_encoder = true;
    template <class R>
    bool bit(Context& context, bool value) {
        adapt<R>(context, value);
        return value;
    }
    bool fixed_bit(uint32_t, bool value) { return value; }
    uint64_t bypass(unsigned, uint64_t value) { return value; }
};

// Of a weight that may become something other than 0.
float sign_bits(const SignModel& signs, const Neighbourhood& neighbourhood, float scaled, int32_t likely) {
    if (std::fabs(scaled) < 0.5f) return 1;
    const uint32_t probability = signs.probability(neighbourhood.sign_features(), static_cast<uint32_t>(std::max(likely < 0 ? -likely : likely, 1)));
    const uint32_t one = probability >> (probability_bits - table_bits);
    return bits_of_a_one[scaled < 0 ? one : bits_of_a_one.size() - 1 - one];
}

// Where the trellis is still undecided, as good a guess as any of what a weight becomes.
int32_t likely_level(float scaled) {
    const float magnitude = std::fabs(scaled);
    const auto level = magnitude < 0.95f ? 0 : static_cast<int32_t>(magnitude + 0.5f);
    return scaled < 0 ? -level : level;
}

}  // namespace

void LevelPrices::price(unsigned expectation, const LevelContexts& contexts) {
    float zero[8], by_class[n_classes][8];
    float length[LevelContexts::n_lengths];
    float longer = 0;
    for (unsigned n = 0; n < LevelContexts::n_lengths; ++n) {
        const BinPrices bin = price_of(contexts.longer[expectation][n]);
        length[n] = longer + bin.zero + static_cast<float>(n);
        longer += bin.one;
    }
    for (unsigned state = 0; state < 8; ++state) {
        const LevelContexts::Flags& flags = contexts.flags[expectation][state];
        const BinPrices significant = price_of(flags.significant), first = price_of(flags.greater_than_1), second = price_of(flags.greater_than_2);
        const float other = significant.one;
        zero[state] = price_of_a_bit_ * significant.zero;
        by_class[0][state] = unreachable;
        by_class[1][state] = price_of_a_bit_ * (other + first.zero);
        by_class[2][state] = price_of_a_bit_ * (other + first.one + second.zero);
        for (unsigned n = 0; n < LevelContexts::n_lengths; ++n) by_class[3 + n][state] = price_of_a_bit_ * (other + first.one + second.one + length[n]);
    }
    of_[expectation].zero = by_state(zero);
    for (unsigned c = 0; c < n_classes; ++c) of_[expectation].other[c] = by_state(by_class[c]);
    is_current_[expectation] = true;
}

void LevelSearch::run(const float* scaled, size_t n_weights, Neighbourhood neighbourhood, LevelContexts learned, float price_of_a_bit, std::vector<int32_t>& indices) {
    scaled_ = scaled;
    magnitudes_.load(scaled, n_weights, 1.0);
    for (auto* of_each : {&parities_, &zeros_}) of_each->resize(n_weights);
    states_.assign(n_weights, untraced);
    indices.resize(n_weights);
    indices_ = indices.data();
    expectations_.resize(weights_per_price);
    sign_prices_.resize(weights_per_price);
    costs_ = only_in(0);
    const auto prices = std::make_unique<LevelPrices>(price_of_a_bit);
    for (size_t first = 0; first < n_weights; first += weights_per_price) {
        const size_t n = std::min(n_weights - first, weights_per_price);
        neighbourhood.mark(mark_, n);
        for (size_t i = 0; i < n; ++i) {
            const int32_t likely = likely_level(scaled[first + i]);
            expectations_[i] = static_cast<uint8_t>(neighbourhood.expectation());
            sign_prices_[i] = price_of_a_bit * sign_bits(learned.signs, neighbourhood, scaled[first + i], likely);
            neighbourhood.push(likely);
        }
        neighbourhood.return_to(mark_);
        prices->outdate();
        pass(first, n, *prices, learned);
        trace_back(first + n, cheapest(costs_));
        learn(first, first + n, neighbourhood, learned);
    }
}

void LevelSearch::pass(size_t first, size_t n, LevelPrices& prices, const LevelContexts& contexts) {
    Candidates candidates;
    for (size_t tile = 0; tile < n; tile += tile_weights) {
        const size_t n_in_tile = std::min(n - tile, tile_weights);
        measure(candidates, &magnitudes_.bases[first + tile], &magnitudes_.fractions[first + tile], LevelPrices::classes, n_in_tile);
        for (size_t i = 0; i < n_in_tile; i += 4) {
            const auto sign = load<Float4>(&sign_prices_[tile + i]);
            for (auto& residue : candidates.other) residue[i / 4] += sign;
        }
        for (size_t i = 0; i < n_in_tile; ++i) step(first + tile + i, i, candidates, prices.at(expectations_[tile + i], contexts));
    }
    const Float4 least = all_lanes(smallest(costs_));
    costs_ = {costs_.even - least, costs_.odd - least};
}

void LevelSearch::step(size_t i, size_t in_tile, const Candidates& candidates, const LevelPrices::OfExpectation& prices) {
    const auto way = [&](int residue) -> const ByState<Float4>& { return prices.other[candidates.class_of(residue, in_tile)]; };
    const auto error = [&](int residue) { return all_lanes(reinterpret_cast<const float*>(candidates.other[residue])[in_tile]); };
    const ByState<Float4> zero = plus(plus(prices.zero, costs_), candidates.of_zero(in_tile), candidates.of_zero(in_tile));
    const ByState<Float4> other0 = {costs_.even + way(0).even + error(0), costs_.odd + way(3).odd + error(3)};
    const ByState<Float4> other1 = {swap_halves(costs_.even + way(2).even) + error(2), swap_halves(costs_.odd + way(1).odd) + error(1)};
    const ByState<Mask4> is_zero = {zero.even <= other0.even, zero.odd <= other0.odd};
    const Arrival arrival = arrive(choose(is_zero, zero, other0), other1);
    const Mask4 low_zero = is_zero.even & ~arrival.low_parity;
    const Mask4 high_zero = is_zero.odd & ~arrival.high_parity;
    parities_[i] = static_cast<uint8_t>(arrival.parities());
    zeros_[i] = static_cast<uint8_t>(lane_bits(low_zero) | lane_bits(high_zero) << 4);
    costs_ = arrival.costs();
}

// From the state behind weight end - 1, until it meets the way that was traced before.
void LevelSearch::trace_back(size_t end, unsigned state) {
    constexpr int32_t residue_of[2][2] = {{0, 2}, {3, 1}};  // [state % 2][parity]
    for (size_t i = end; i-- > 0;) {
        const unsigned parity = parities_[i] >> state & 1;
        const bool is_zero = zeros_[i] >> state & 1;
        state = source_of[state][parity];
        const int32_t magnitude = index_of(magnitudes_.bases[i], magnitudes_.fractions[i], residue_of[state % 2][parity]) * !is_zero;
        indices_[i] = std::signbit(scaled_[i]) ? -magnitude : magnitude;
        if (states_[i] == state) return;
        states_[i] = static_cast<uint8_t>(state);
    }
}

void LevelSearch::learn(size_t first, size_t end, Neighbourhood& neighbourhood, LevelContexts& contexts) {
    Learner learner;
    for (size_t i = first; i < end; ++i) {
        const int32_t index = indices_[i];
        code_index(learner, contexts, neighbourhood, states_[i], index);
        neighbourhood.push(level_of(index, states_[i]));
    }
}

}  // namespace incnnr
