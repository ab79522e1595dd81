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

// Bits of a decision that came out this way `of_all` minus the other ways; estimated as adaptive contexts would after few.
float bits(float this_way, float of_all) { return log2_of((of_all + 0.8f) / (this_way + 0.4f)); }

void fill_magnitudes(std::array<float, n_priced_magnitudes>& prices, const float* counts, float price_of_a_bit, int32_t n_greater_flags) {
    float tails[n_priced_magnitudes + 1] = {};  // how often it was so large
    for (int32_t k = n_priced_magnitudes; k-- > 1;) tails[k] = tails[k + 1] + counts[k];
    const auto from = [&tails](int32_t k) { return tails[std::min(k, n_priced_magnitudes)]; };
    float reached = 0;  // bits of having come so far
    int32_t first = 1;
    for (unsigned n_bits = 0; first < n_priced_magnitudes;) {
        const int32_t next = first <= n_greater_flags ? first + 1 : first + (1 << n_bits);
        const float stop = reached + bits(from(first) - from(next), from(first)) + static_cast<float>(n_bits);
        for (int32_t k = first; k < std::min(next, n_priced_magnitudes); ++k) prices[static_cast<unsigned>(k)] = price_of_a_bit * stop;
        reached += bits(from(next), from(first));
        n_bits += first > n_greater_flags;
        first = next;
    }
    prices[0] = unreachable;
}

ByState<Float4> by_state(const float (&v)[8]) { return {Float4{v[0], v[2], v[4], v[6]}, Float4{v[7], v[5], v[3], v[1]}}; }

}  // namespace

void NncStatistics::fade(float factor) {
    for (auto& of_state : significant)
        for (auto& of_neighbour : of_state)
            for (float& n : of_neighbour) n *= factor;
    for (auto& of_neighbour : sign)
        for (float& n : of_neighbour) n *= factor;
    for (auto& of_sign : magnitudes)
        for (float& n : of_sign) n *= factor;
}

IndexPrices NncStatistics::prices(float price_of_a_bit, unsigned n_greater_flags) const {
    IndexPrices prices;
    for (unsigned c = 0; c < n_neighbours; ++c) {
        float zero[8], nonzero[8];
        for (unsigned s = 0; s < 8; ++s) {
            const float n = significant[s][c][0] + significant[s][c][1];
            zero[s] = price_of_a_bit * bits(significant[s][c][0], n);
            nonzero[s] = price_of_a_bit * bits(significant[s][c][1], n);
        }
        prices.zero[c] = by_state(zero);
        for (unsigned negative = 0; negative < 2; ++negative) {
            const float of_sign = price_of_a_bit * bits(sign[c][negative], sign[c][0] + sign[c][1]);
            const ByState<Float4> both = by_state(nonzero);
            prices.nonzero[c][negative] = {both.even + of_sign, both.odd + of_sign};
        }
    }
    for (unsigned negative = 0; negative < 2; ++negative)
        fill_magnitudes(prices.magnitude[negative], magnitudes[negative], price_of_a_bit, static_cast<int32_t>(n_greater_flags));
    return prices;
}

}  // namespace incnnr
