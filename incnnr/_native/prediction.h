// What past updates tell of the next one: running means of them, each with a coefficient.
#pragma once

#include <array>
#include <cmath>

#include "numbers.h"

namespace incnnr {

constexpr float mean_rates[most_means] = {0.3125f, 0.078125f};
constexpr float coefficient_unit = 1.0f / 64;

// Means are kept in no more bytes than the weights.
template <Kind kind>
constexpr Kind mean_kind = sizeof(typename NumberOf<kind>::Word) == 2 ? Kind::bfloat16 : Kind::float32;

constexpr size_t mean_bytes(Kind kind) { return kind == Kind::float16 || kind == Kind::bfloat16 ? 2 : 4; }

// The means of a slice: all of the first, then all of the second.
template <Kind kind>
class RunningMeans {
public:
    using Number = NumberOf<mean_kind<kind>>;
    using Real = RealOf<mean_kind<kind>>;

    RunningMeans(uint8_t* bytes, unsigned n_means, size_t n_weights) : bytes_(bytes), n_means_(bytes ? n_means : 0), n_weights_(n_weights) {}

    unsigned count() const { return n_means_; }
    float at(unsigned mean, size_t i) const { return Real::value(Number::load(bytes_, mean * n_weights_ + i)); }

    // A mean that cannot take a difference stays as it was.
    void take(size_t i, float difference) const {
        for (unsigned m = 0; m < n_means_; ++m) {
            const float before = at(m, i);
            const auto after = Real::bits(before + (difference - before) * mean_rates[m]);
            if (std::isfinite(Real::value(after))) Number::store(bytes_, m * n_weights_ + i, after);
        }
    }

private:
    uint8_t* bytes_;
    unsigned n_means_;
    size_t n_weights_;
};

// Of 1/64 each.
using Coefficients = std::array<int32_t, most_means>;
constexpr int32_t largest_coefficient = 4095;

// Sums for the least squares of differences by means.
struct Moments {
    double means[most_means][most_means] = {};
    double with_difference[most_means] = {};
    double energy = 0;
    size_t n = 0;

    void add(const float (&of)[most_means], double difference) {
        for (unsigned a = 0; a < most_means; ++a) {
            for (unsigned b = 0; b <= a; ++b) means[a][b] += static_cast<double>(of[a]) * static_cast<double>(of[b]);
            with_difference[a] += static_cast<double>(of[a]) * difference;
        }
        energy += difference * difference;
        ++n;
    }

    double energy_left(const Coefficients& c) const {
        const double x = c[0] / 64.0, y = c[1] / 64.0;
        return energy - 2 * (x * with_difference[0] + y * with_difference[1]) + x * x * means[0][0] + 2 * x * y * means[1][0] + y * y * means[1][1];
    }

    // All 0 where predicting is not worth its header.
    Coefficients best() const {
        constexpr double ridge = 1 + 1e-6;
        const double a = means[0][0] * ridge, b = means[1][0], c = means[1][1] * ridge;
        const double determinant = a * c - b * b;
        double x = a > 0 ? with_difference[0] / a : 0, y = 0;
        if (determinant > 0) {
            x = (c * with_difference[0] - b * with_difference[1]) / determinant;
            y = (a * with_difference[1] - b * with_difference[0]) / determinant;
        }
        const Coefficients rounded = {nearest(x), nearest(y)};
        const double saved = energy - energy_left(rounded);
        return saved * static_cast<double>(n) > 40 * energy ? rounded : Coefficients{};
    }

private:
    static int32_t nearest(double x) {
        const double scaled = std::nearbyint(64 * x);
        if (!(std::fabs(scaled) <= largest_coefficient)) return scaled > 0 ? largest_coefficient : -largest_coefficient;
        return static_cast<int32_t>(scaled);
    }
};

}  // namespace incnnr
