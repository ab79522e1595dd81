// Coders that only count what their bins cost, in 1/32768 bit.
#pragma once

#include <array>
#include <vector>

#include "nnc_context.h"

namespace incnnr {

constexpr uint64_t nnc_bit_cost = 32768;

// Costs of a zero and a one by combined state / 8. The less probable symbol costs 1 + 400.8 / 32768 * (d + 1/2) bits, where
// d is the distance from even odds, and the more probable one what is left of the probability.
constexpr std::array<std::array<uint32_t, 2>, 1024> make_bin_costs() {
    constexpr double ln2 = 0.69314718055994530942;
    constexpr double ratio = 0.9915576466823904;  // 2 ^ -(400.8 / 32768)
    double unlikely = 0.49788493818411256;        // 2 ^ -(1 + 200.4 / 32768)
    std::array<std::array<uint32_t, 2>, 1024> costs{};
    for (unsigned distance = 0; distance < 512; ++distance, unlikely *= ratio) {
        double sum = 0, power = unlikely;
        for (int k = 1; k <= 64; ++k, power *= unlikely) sum += power / k;
        const auto likely_cost = static_cast<uint32_t>(nnc_bit_cost * sum / ln2 + 0.5);
        const auto unlikely_cost = static_cast<uint32_t>(nnc_bit_cost + 400.8 * (distance + 0.5) + 0.5);
        costs[512 - distance] = {likely_cost, unlikely_cost};
        costs[512 + distance] = {unlikely_cost, likely_cost};
    }
    costs[0] = costs[1];
    return costs;
}
inline constexpr auto nnc_bin_costs = make_bin_costs();

inline uint32_t bin_cost(const NncContext& context, bool value) { return nnc_bin_costs[nnc_combined_state(context.fast, context.slow) >> 3][value]; }

// Of bins in the order and the contexts of a codeword.
class NncCounter {
public:
    static constexpr bool is_encoder = true;

    bool bit(NncContext& context, bool value) {
        cost_ += bin_cost(context, value);
        adapt(context, value);
        return value;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        cost_ += n_bits * nnc_bit_cost;
        return value;
    }

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
            costs_[set] += bin_cost(contexts_[set], value);
            adapt(contexts_[set], value);
        }
        ++n_bins_;
    }

    // Sets of one kind adapt alike and differ in where they begin: from here on the first of a kind stands for all of it.
    void end_of_beginning() {
        followed_ = {0, 3, 4, 7};
        n_followed_ = 4;
        early_costs_ = costs_;
    }

    unsigned n_bins() const { return n_bins_; }

    // Where only a sample of the bins has been added, each after the beginning stands for n_each of them.
    double cost(unsigned set, double n_each) const {
        constexpr uint8_t first_of_kind[n_nnc_state_sets] = {0, 0, 0, 3, 4, 4, 4, 7, 7};
        const unsigned followed = n_followed_ == n_nnc_state_sets ? set : first_of_kind[set];
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
    static constexpr double id_cost = 3.0 * nnc_bit_cost;

    std::array<NncContext, n_nnc_state_sets> contexts_{};
    std::array<uint64_t, n_nnc_state_sets> costs_{};
    std::array<uint64_t, n_nnc_state_sets> early_costs_{};
    std::array<uint8_t, n_nnc_state_sets> followed_ = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    unsigned n_followed_ = n_nnc_state_sets;
    unsigned n_bins_ = 0;
};

// Of bins with every state set: contexts only name the bins' places.
class NncSetTrial {
public:
    static constexpr bool is_encoder = true;

    NncSetTrial(std::vector<NncSetCosts>& sets, const NncContext* first, bool is_sample) : sets_(&sets), first_(first), is_sample_(is_sample) {}

    bool bit(NncContext& context, bool value) {
        constexpr unsigned n_early = 512;
        NncSetCosts& costs = (*sets_)[static_cast<size_t>(&context - first_)];
        costs.add(value);
        if (is_sample_ && costs.n_bins() == n_early) costs.end_of_beginning();
        return value;
    }
    bool even_bit(NncContext& context, bool value) { return bit(context, value); }
    template <unsigned length>
    size_t zeros(NncContext* const* cycle, size_t n) {
        for (size_t i = 0; i < n; ++i) bit(*cycle[i % length], false);
        return n;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        n_bypass_ += n_bits;
        return value;
    }

    uint64_t n_bypass() const { return n_bypass_; }

private:
    std::vector<NncSetCosts>* sets_;
    const NncContext* first_;
    uint64_t n_bypass_ = 0;
    bool is_sample_;
};

}  // namespace incnnr
