#include "nnc_statistics.h"

#include <cmath>

namespace incnnr {
namespace {

constexpr int log_steps = 512;

// By repeated squaring: x in 1..2.
constexpr double slow_log2(double x) {
    double log = 0;
    for (double bit = 0.5; bit > 1e-6; bit /= 2) {
        x *= x;
        if (x >= 2) {
            x /= 2;
            log += bit;
        }
    }
    return log;
}

constexpr std::array<float, log_steps + 1> make_logs() {
    std::array<float, log_steps + 1> logs{};
    for (int i = 0; i < log_steps; ++i) logs[static_cast<unsigned>(i)] = static_cast<float>(slow_log2(1 + static_cast<double>(i) / log_steps));
    logs[log_steps] = 1;
    return logs;
}
constexpr auto logs = make_logs();

// To 0.0015; the same on every machine.
float log2_of(float x) {
    int exponent = 0;
    const float mantissa = std::frexp(x, &exponent);  // 0.5..1
    const auto index = static_cast<unsigned>((2 * mantissa - 1) * log_steps + 0.5f);
    return static_cast<float>(exponent - 1) + logs[index];
}

// Bits of a decision that came out this way so often, estimated as adaptive contexts would after few.
float bits(float this_way, float of_all) { return of_all > 0 ? log2_of((of_all + 0.8f) / (this_way + 0.4f)) : 1.0f; }

ByState<Float4> by_state(const float (&v)[8]) { return {Float4{v[0], v[2], v[4], v[6]}, Float4{v[7], v[5], v[3], v[1]}}; }

}  // namespace

NncStatistics::NncStatistics(unsigned n_greater_flags)
    : classes_{std::min(static_cast<int32_t>(n_greater_flags), MagnitudeClasses::most_single)} {}

void NncStatistics::fade(float factor) {
    for (auto& of_state : significant_)
        for (auto& of_neighbour : of_state)
            for (float& n : of_neighbour) n *= factor;
    for (auto& of_neighbour : sign_)
        for (float& n : of_neighbour) n *= factor;
    for (auto& of_sign : magnitude_)
        for (float& n : of_sign) n *= factor;
}

IndexPrices NncStatistics::prices(float price_of_a_bit) const {
    IndexPrices prices;
    prices.classes = classes_;
    for (unsigned c = 0; c < n_neighbours; ++c) {
        float zero[8], nonzero[8];
        for (unsigned s = 0; s < 8; ++s) {
            const Significance n = significance(s, c);
            zero[s] = price_of_a_bit * log2_of((n[0] + n[1]) / n[0]);
            nonzero[s] = price_of_a_bit * log2_of((n[0] + n[1]) / n[1]);
        }
        prices.zero[c] = by_state(zero);
        const ByState<Float4> of_significance = by_state(nonzero);
        for (unsigned negative = 0; negative < 2; ++negative) {
            const float of_sign = price_of_a_bit * bits(sign_[c][negative], sign_[c][0] + sign_[c][1]);
            prices.nonzero[c][negative] = {of_significance.even + of_sign, of_significance.odd + of_sign};
        }
    }
    for (unsigned negative = 0; negative < 2; ++negative) price_magnitudes(prices.magnitude[negative], magnitude_[negative], price_of_a_bit);
    return prices;
}

NncStatistics::Significance NncStatistics::significance(unsigned state, unsigned neighbour) const {
    constexpr float weight_of_others = 64;
    float zeros = 0.4f, others = 0.4f;
    for (unsigned s = state & 1; s < 8; s += 2) {
        zeros += significant_[s][neighbour][0];
        others += significant_[s][neighbour][1];
    }
    const float weight = weight_of_others / (zeros + others);
    const Significance& own = significant_[state][neighbour];
    return {own[0] + weight * zeros, own[1] + weight * others};
}

// From class to class a decision says whether it goes on; an octave's place within has as many bits as its number.
void NncStatistics::price_magnitudes(Counts& prices, const Counts& counts, float price_of_a_bit) const {
    std::array<float, MagnitudeClasses::most + 1> at_least{};
    for (unsigned c = MagnitudeClasses::most; c-- > 1;) at_least[c] = at_least[c + 1] + counts[c];
    float reached = 0;
    for (unsigned c = 1; c < MagnitudeClasses::most; ++c) {
        const int octave = static_cast<int>(c) - classes_.n_single - 1;
        const float within = octave > 0 ? static_cast<float>(octave) : 0.0f;
        prices[c] = price_of_a_bit * (reached + bits(counts[c], at_least[c]) + within);
        reached += bits(at_least[c + 1], at_least[c]);
    }
    prices[0] = unreachable;
}

}  // namespace incnnr
