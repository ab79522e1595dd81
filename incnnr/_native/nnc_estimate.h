// Coders that only count what their bins cost, in 1/32768 bit.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "nnc_context.h"

namespace incnnr {

constexpr uint64_t nnc_bit_cost = 32768;

// -log2(x) for 0 < x < 1, at compile time.
constexpr double bits_of_probability(double x) {
    constexpr double ln2 = 0.69314718055994530942;
    double bits = 0;
    for (; x < 0.5; x *= 2) bits += 1;
    const double ratio = (1 - x) / (1 + x);
    double sum = 0, power = ratio;
    for (int k = 1; k < 60; k += 2, power *= ratio * ratio) sum += power / k;
    return bits + 2 * sum / ln2;
}

constexpr uint32_t cost_of_probability(double x) { return static_cast<uint32_t>(nnc_bit_cost * bits_of_probability(x) + 0.5); }

using NncBinCosts = std::array<uint32_t, 2>;  // of a zero and a one

// By combined state / 8: what NNCodec weighs state sets by. The less probable symbol costs 1 + 400.8 / 32768 * (d + 1/2)
// bits, where d is the distance from even odds, and the more probable one what is left of the probability.
constexpr std::array<NncBinCosts, 1024> make_smooth_costs() {
    constexpr double ratio = 0.9915576466823904;  // 2 ^ -(400.8 / 32768)
    double unlikely = 0.49788493818411256;        // 2 ^ -(1 + 200.4 / 32768)
    std::array<NncBinCosts, 1024> costs{};
    for (unsigned distance = 0; distance < 512; ++distance, unlikely *= ratio) {
        const auto unlikely_cost = static_cast<uint32_t>(nnc_bit_cost + 400.8 * (distance + 0.5) + 0.5);
        costs[512 - distance] = {cost_of_probability(1 - unlikely), unlikely_cost};
        costs[512 + distance] = {unlikely_cost, cost_of_probability(1 - unlikely)};
    }
    costs[0] = costs[1];
    return costs;
}
inline constexpr auto nnc_smooth_costs = make_smooth_costs();

// By row: what coding takes on average, if a range is met the less often the larger it is.
constexpr std::array<NncBinCosts, 64> make_row_costs() {
    std::array<NncBinCosts, 64> costs{};
    for (int row = 0; row < 64; ++row) {
        double likely = 0, unlikely = 0, weights = 0;
        for (unsigned range = 0; range < 256; range += 4) {
            const double size = 256 + range, part = nnc_unlikely_range(row, range);
            weights += 1 / size;
            likely += bits_of_probability(1 - part / size) / size;
            unlikely += bits_of_probability(part / size) / size;
        }
        const auto cost = [&](double bits) { return static_cast<uint32_t>(nnc_bit_cost * bits / weights + 0.5); };
        costs[static_cast<size_t>(row)] = {cost(row < 32 ? likely : unlikely), cost(row < 32 ? unlikely : likely)};
    }
    return costs;
}
inline constexpr auto nnc_row_costs = make_row_costs();

template <class CostOfZero>
uint64_t cost_of_zeros(NncContext& context, size_t n, CostOfZero cost_of_zero) {
    uint64_t cost = 0;
    for (size_t left = n; left > 0;) {
        if (is_settled(context)) return cost + left * cost_of_zero(context);
        for (size_t few = std::min<size_t>(left, 32); few > 0; --few, --left) {
            cost += cost_of_zero(context);
            adapt(context, false);
        }
    }
    return cost;
}

// Of bins in the order and the contexts of a codeword.
class NncCounter {
public:
    static constexpr bool is_encoder = true;

    bool bit(NncContext& context, bool value) {
        cost_ += nnc_row_costs[context.row][value];
        adapt(context, value);
        return value;
    }
    bool even_bit(NncContext& context, bool value) { return bit(context, value); }

    template <unsigned length>
    size_t zeros(NncContext* const* cycle, size_t n) {
        for (size_t i = 0; i < length; ++i)
            cost_ += cost_of_zeros(*cycle[i], (n + length - 1 - i) / length, [](const NncContext& context) { return nnc_row_costs[context.row][0]; });
        return n;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        cost_ += n_bits * nnc_bit_cost;
        return value;
    }

    void set_range_256() {}
    uint64_t n_bits_taken() const { return cost_ / nnc_bit_cost; }
    uint8_t entry_value() const { return 0; }

    uint64_t cost() const { return cost_; }

private:
    uint64_t cost_ = 0;
};

// What the bins of one context cost from each state set on.
class NncSetCosts {
public:
    NncSetCosts() { restart(); }

    void restart() {
        for (unsigned set = 0; set < n_nnc_state_sets; ++set) contexts_[set] = nnc_context_of_set(set);
    }

    void add(bool value) {
        for (unsigned i = 0; i < n_followed_; ++i) {
            const unsigned set = followed_[i];
            costs_[set] += smooth_costs(contexts_[set])[value];
            adapt(contexts_[set], value);
        }
        ++n_bins_;
    }

    void add_zeros(size_t n) {
        for (unsigned i = 0; i < n_followed_; ++i) {
            const unsigned set = followed_[i];
            costs_[set] += cost_of_zeros(contexts_[set], n, [](const NncContext& context) { return smooth_costs(context)[0]; });
        }
        n_bins_ += n;
    }

    // Sets of one kind adapt alike and differ in where they begin: from here on the best one stands for all of its kind.
    void end_of_beginning() {
        early_costs_ = costs_;
        for (n_followed_ = 0; n_followed_ < n_kinds; ++n_followed_) {
            unsigned best = first_of_kind[n_followed_];
            for (unsigned set = best; set < first_of_kind[n_followed_ + 1]; ++set)
                if (costs_[set] < costs_[best]) best = set;
            followed_[n_followed_] = static_cast<uint8_t>(best);
        }
    }

    uint64_t n_bins() const { return n_bins_; }

    // Where only a sample of the bins has been added, each after the beginning stands for n_each of them.
    double cost(unsigned set, double n_each) const {
        const unsigned followed = n_followed_ == n_kinds ? followed_[kind_of[set]] : set;
        return static_cast<double>(early_costs_[set]) + n_each * static_cast<double>(costs_[followed] - early_costs_[followed]);
    }

    unsigned best_set(double n_each) const {
        unsigned best = 0;
        double least = cost(0, n_each);
        for (unsigned set = 1; set < n_nnc_state_sets; ++set)
            if (const double with_id = cost(set, n_each) + id_cost; with_id < least) {
                best = set;
                least = with_id;
            }
        return best;
    }

private:
    static constexpr unsigned n_kinds = 4;
    static constexpr uint8_t first_of_kind[n_kinds + 1] = {0, 3, 4, 7, n_nnc_state_sets};
    static constexpr uint8_t kind_of[n_nnc_state_sets] = {0, 0, 0, 1, 2, 2, 2, 3, 3};
    static const NncBinCosts& smooth_costs(const NncContext& context) { return nnc_smooth_costs[nnc_combined_state(context.fast, context.slow) >> 3]; }

    static constexpr double id_cost = 3.0 * nnc_bit_cost;

    std::array<NncContext, n_nnc_state_sets> contexts_{};
    std::array<uint64_t, n_nnc_state_sets> costs_{};
    std::array<uint64_t, n_nnc_state_sets> early_costs_{};
    std::array<uint8_t, n_nnc_state_sets> followed_ = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    unsigned n_followed_ = n_nnc_state_sets;
    uint64_t n_bins_ = 0;
};

// Of bins with every state set: contexts only name the bins' places.
class NncSetTrial {
public:
    static constexpr bool is_encoder = true;

    // All sets are followed to the end of small layers only.
    NncSetTrial(std::vector<NncSetCosts>& sets, const NncContext* first, bool narrows) : sets_(&sets), first_(first), narrows_(narrows) {}

    bool bit(NncContext& context, bool value) {
        NncSetCosts& costs = costs_of(context);
        costs.add(value);
        if (narrows_ && costs.n_bins() == n_early) costs.end_of_beginning();
        return value;
    }
    bool even_bit(NncContext& context, bool value) { return bit(context, value); }

    template <unsigned length>
    size_t zeros(NncContext* const* cycle, size_t n) {
        for (size_t i = 0; i < length; ++i) add_zeros(costs_of(*cycle[i]), (n + length - 1 - i) / length);
        return n;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        n_bypass_ += n_bits;
        return value;
    }

    uint64_t n_bypass() const { return n_bypass_; }

private:
    static constexpr uint64_t n_early = 256;

    NncSetCosts& costs_of(const NncContext& context) const { return (*sets_)[static_cast<size_t>(&context - first_)]; }

    void add_zeros(NncSetCosts& costs, size_t n) const {
        const uint64_t early = std::min<uint64_t>(n, n_early - std::min(n_early, costs.n_bins()));
        costs.add_zeros(early);
        if (narrows_ && early > 0 && costs.n_bins() == n_early) costs.end_of_beginning();
        costs.add_zeros(n - early);
    }

    std::vector<NncSetCosts>* sets_;
    const NncContext* first_;
    uint64_t n_bypass_ = 0;
    bool narrows_;
};

}  // namespace incnnr
