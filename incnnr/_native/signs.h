// Which sign a level has, from those around it: logistic regression that learns while it codes.
#pragma once

#include <array>

#include "engine.h"
#include "trellis.h"

namespace incnnr {

struct SignFeatures {
    Float4 of[3];
};

constexpr unsigned n_distances = 4;
using Distances = std::array<uint16_t, n_distances>;
constexpr unsigned first_of_distances = 8;  // of the features

constexpr double exponential(double x) {
    double sum = 1, term = 1;
    for (int k = 1; k < 60; ++k) sum += term *= x / k;
    return sum;
}

// By evidence in 1/64, from -8 to 8; in 1/2^22.
constexpr unsigned n_evidences = 1024;
constexpr std::array<uint32_t, n_evidences> make_sign_probabilities() {
    std::array<uint32_t, n_evidences> probabilities{};
    for (unsigned i = 0; i < n_evidences; ++i) {
        const double evidence = (static_cast<double>(i) - 511.5) / 64;
        probabilities[i] = static_cast<uint32_t>((1u << probability_bits) / (1 + exponential(-evidence)) + 0.5);
    }
    return probabilities;
}
inline constexpr auto sign_probabilities = make_sign_probabilities();

struct SignModel {
    float weights[12];
    uint16_t distances[n_distances];  // of levels that tell of the sign, beside the nearest; 0 for none

    // That a level is negative, in 1/2^22. The larger it is, the surer is its sign.
    uint32_t probability(const SignFeatures& features, uint32_t magnitude) const {
        const Float4 sums = features.of[0] * weight(0) + features.of[1] * weight(1) + features.of[2] * weight(2);
        const float evidence = ((sums[0] + sums[2]) + (sums[1] + sums[3])) * (16 * static_cast<float>(3 + std::min(magnitude, 7u)));
        constexpr float most = n_evidences / 2 - 1;
        const float within = evidence > -most ? (evidence < most ? evidence : most) : -most;  // NaN, which only a damaged state has, too
        return sign_probabilities[static_cast<uint32_t>(within + n_evidences / 2)];
    }

    void learn(const SignFeatures& features, uint32_t probability, bool negative) {
        constexpr float rate = 1.0f / 128;
        const float error = (static_cast<float>(negative) - static_cast<float>(probability) * 0x1p-22f) * rate;
        for (unsigned k = 0; k < 3; ++k) store(&weights[4 * k], weight(k) + error * features.of[k]);
    }

    Distances known_distances() const {
        Distances known;
        std::copy_n(distances, n_distances, known.begin());
        return known;
    }

    void take_distances(const Distances& others) {
        std::copy(others.begin(), others.end(), distances);
        std::fill_n(&weights[first_of_distances], n_distances, 0.0f);
    }

private:
    Float4 weight(unsigned k) const { return load<Float4>(&weights[4 * k]); }
};

template <class Coder>
[[gnu::always_inline]] inline bool code_sign(Coder& coder, SignModel& model, const SignFeatures& features, uint32_t magnitude, bool negative) {
    const uint32_t probability = model.probability(features, magnitude);
    negative = coder.fixed_bit(probability, negative);
    model.learn(features, probability, negative);
    return negative;
}

}  // namespace incnnr
