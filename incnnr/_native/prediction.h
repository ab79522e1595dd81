// What past updates tell of the next one: running means of them, each with a coefficient.
#pragma once

#include <array>
#include <cmath>
#include <limits>

#include "lanes.h"
#include "numbers.h"

namespace incnnr {

constexpr float mean_rates[most_means] = {0.3125f, 0.078125f};
constexpr float coefficient_unit = 1.0f / 64;
constexpr float largest_float = std::numeric_limits<float>::max();

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
    uint8_t* bytes(unsigned mean) const { return bytes_ + mean * n_weights_ * mean_bytes(kind); }

    // From weight `first` on, n that were `from` and are `to`. A mean that cannot take a difference stays as it was.
    void take(size_t first, const uint8_t* from, const uint8_t* to, size_t n) const {
        for (unsigned m = 0; m < n_means_; ++m) move(bytes(m) + first * mean_bytes(kind), mean_rates[m], from, to, n);
    }

private:
    static void move(uint8_t* __restrict means, float rate, const uint8_t* __restrict from, const uint8_t* __restrict to, size_t n) {
        for (size_t i = 0; i < n; ++i) {
            const auto difference = static_cast<float>(RealOf<kind>::value(NumberOf<kind>::load(to, i)) - RealOf<kind>::value(NumberOf<kind>::load(from, i)));
            const auto mean = Number::load(means, i);
            const float before = Real::value(mean);
            const auto after = Real::bits(before + (difference - before) * rate);
            Number::store(means, i, std::fabs(Real::value(after)) <= largest_float ? after : mean);
        }
    }

    uint8_t* bytes_;
    unsigned n_means_;
    size_t n_weights_;
};

// Of 1/64 each.
using Coefficients = std::array<int32_t, most_means>;
constexpr int32_t largest_coefficient = 4095;

// Sums for the least squares of differences by means; what is not finite does not count.
struct Moments {
    double means[most_means][most_means] = {};
    double with_difference[most_means] = {};
    double energy = 0;
    size_t n = 0;

    template <Kind kind, class Float>
    static Moments of(const Float* differences, const RunningMeans<kind>& by, size_t n) {
        Lanes first_first{}, second_first{}, second_second{}, first{}, second{}, energy{};
        const unsigned last = by.count() - 1;
        const double has_second = by.count() > 1 ? 1 : 0;
        in_lanes(n, [&](unsigned lane, size_t i) {
            const auto difference = static_cast<double>(differences[i]);
            const bool counts = std::fabs(difference) <= std::numeric_limits<double>::max();
            const double d = counts ? difference : 0;
            const double x = counts ? static_cast<double>(by.at(0, i)) : 0, y = counts ? has_second * static_cast<double>(by.at(last, i)) : 0;
            first_first[lane] += x * x, second_first[lane] += y * x, second_second[lane] += y * y;
            first[lane] += x * d, second[lane] += y * d, energy[lane] += d * d;
        });
        return {{{sum(first_first), 0}, {sum(second_first), sum(second_second)}}, {sum(first), sum(second)}, sum(energy), n};
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
