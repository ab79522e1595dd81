// A slice on its way to levels or back: prediction, step, levels, corrections, and what it leaves for the next update.
#pragma once

#include <limits>
#include <optional>

#include "binarization.h"
#include "deviation.h"
#include "distances.h"
#include "level_search.h"
#include "prediction.h"
#include "scales.h"

namespace incnnr {

constexpr float price_of_a_bit = 0.5f;  // in squared steps
constexpr double close_enough = 0.88;   // of a squared error that is allowed

template <Kind kind>
class QuantizedSlice {
public:
    using N = NumberOf<kind>;
    using Word = typename N::Word;
    using Real = typename RealOf<kind>::Real;

    explicit QuantizedSlice(Segment& segment)
        : segment_(segment),
          contexts_(*reinterpret_cast<LevelContexts*>(segment.contexts)),
          means_(segment.history, segment.n_means, segment.n_elements),
          levels_(segment.n_elements) {}

    void encode(Encoder& coder) {
        predict();
        look_at_signs();
        choose_others();
        const int32_t scale = segment_.relative_error > 0 ? scale_for_relative_error() : segment_.scale;
        if (indices_.empty() || scale != header_.scale) choose_indices(scale);
        header_.any = std::any_of(indices_.begin(), indices_.end(), [](int32_t index) { return index != 0; });
        code(coder);
        const bool any_misses = reconstruct();
        if (coder.bypass(1, any_misses)) code_corrections(coder);
        finish();
    }

    Status decode(Decoder& coder) {
        if (const Status status = code(coder); status != Status::ok) return status;
        reconstruct();
        if (coder.bypass(1, false)) code_corrections(coder);
        finish();
        return Status::ok;
    }

private:
    struct Header {
        bool any = false;
        bool dependent = false;
        int32_t scale = 0;
        Coefficients coefficients{};
        std::optional<Distances> distances;  // if others than before
    };

    size_t size() const { return segment_.n_elements; }
    size_t width() const { return std::max<size_t>(std::min(segment_.width, size()), 1); }
    Word reference(size_t i) const { return segment_.reference ? N::load(segment_.reference, i) : Word{0}; }
    double source(size_t i) const { return static_cast<double>(RealOf<kind>::value(N::load(segment_.source, i))); }

    double difference(size_t i) const { return source(i) - static_cast<double>(RealOf<kind>::value(reference(i))); }

    // Of the difference; none where there is nothing to add to.
    Real predicted(size_t i) const { return predictions_.empty() ? 0 : predictions_[i]; }

    void set_predictions() {
        predictions_.clear();
        if (header_.coefficients == Coefficients{}) return;
        predictions_.resize(size());
        for (unsigned m = 0; m < means_.count(); ++m) {
            const auto factor = static_cast<Real>(static_cast<float>(header_.coefficients[m]) * coefficient_unit);
            for (size_t i = 0; i < size(); ++i) {
                const Real part = factor * static_cast<Real>(means_.at(m, i));
                predictions_[i] = m == 0 ? part : predictions_[i] + part;
            }
        }
        for (size_t i = 0; i < size(); ++i)
            if (!std::isfinite(RealOf<kind>::value(reference(i)))) predictions_[i] = 0;
    }

    // False if no step is left.
    bool set_step(int32_t scale) {
        if (!is_within(scale, most_scale)) return false;
        step_ = static_cast<Real>(segment_.step_size * multiplier(scale));
        return step_ >= std::numeric_limits<Real>::min() && std::isfinite(step_);
    }

    void predict() {
        Moments moments;
        for (size_t i = 0; i < size() && means_.count() > 0; ++i) {
            const float of[most_means] = {means_.at(0, i), means_.count() > 1 ? means_.at(1, i) : 0};
            if (const double distance = difference(i); std::isfinite(distance)) moments.add(of, distance);
        }
        header_.coefficients = moments.best();
        set_predictions();
    }

    void choose_others() {
        std::vector<float> rests(size());
        for (size_t i = 0; i < size(); ++i) rests[i] = static_cast<float>(difference(i) - static_cast<double>(predicted(i)));
        const Distances known = contexts_.signs.known_distances();
        const Distances chosen = choose_distances(rests.data(), size(), width(), known);
        if (chosen != known) header_.distances = chosen;
    }

    // Weights in steps, 0 where no level is in reach.
    void scale_weights() {
        scaled_.resize(size());
        const double inverse = 1 / static_cast<double>(step_);
        for (size_t i = 0; i < size(); ++i) {
            const double steps = (difference(i) - static_cast<double>(predicted(i))) * inverse;
            scaled_[i] = std::fabs(steps) < largest_index ? static_cast<float>(steps) : 0;
        }
    }

    // What the updates before let expect of each weight: its own movement and, less, that around it.
    void expect() {
        if (means_.count() == 0) return;
        const auto per_step = static_cast<float>(256 / static_cast<double>(step_));
        movements_.assign(size() + 2 * width(), 0);
        uint32_t* const own = &movements_[width()];
        for (size_t i = 0; i < size(); ++i) {
            const float sum = std::fabs(means_.at(0, i)) + (means_.count() > 1 ? 2 * std::fabs(means_.at(1, i)) : 0);
            const float scaled = sum * per_step;
            own[i] = static_cast<uint32_t>(std::min(0x1p20f, scaled));
        }
        moved_.resize(size());
        const uint32_t* const above = own - width();
        const uint32_t* const below = own + width();
        for (size_t i = 0; i < size(); ++i) moved_[i] = 19 * own[i] + 5 * (own[i - 1] + own[i + 1] + above[i] + below[i]);
    }

    // Signs of what is known of each weight before its level.
    void look_at_signs() {
        const auto sign_of = [](auto x) { return static_cast<int8_t>((x > 0) - (x < 0)); };
        if (means_.count() > 0) {
            directions_.resize(size());
            for (size_t i = 0; i < size(); ++i) directions_[i] = sign_of(means_.at(0, i));
        }
        if (segment_.reference != nullptr) {
            signs_.resize(size());
            for (size_t i = 0; i < size(); ++i) signs_[i] = sign_of(RealOf<kind>::value(reference(i)));
        }
    }

    Neighbourhood neighbourhood(const SignModel& signs) const {
        const auto given = [](const auto& of_each) { return of_each.empty() ? nullptr : of_each.data(); };
        return Neighbourhood(size(), width(), {given(moved_), given(directions_), given(signs_)}, signs);
    }

    void choose_indices(int32_t scale) {
        header_.scale = scale;
        if (!set_step(scale)) {
            indices_.assign(size(), 0);
            return;
        }
        expect();
        scale_weights();
        header_.dependent = segment_.search == Search::trellis;
        if (header_.dependent) {
            LevelContexts contexts = contexts_;
            if (header_.distances) contexts.signs.take_distances(*header_.distances);
            search_.run(scaled_.data(), size(), neighbourhood(contexts.signs), contexts, price_of_a_bit);
            indices_ = search_.indices();
        } else {
            round_to_indices(segment_.search == Search::nearest ? 0.5f : dead_zone());
        }
    }

    // The sparser the levels, the more bits a one costs and the less an error adds.
    float dead_zone() const {
        double sum = 0;
        for (float steps : scaled_) sum += std::fabs(static_cast<double>(steps));
        const double mean = sum / static_cast<double>(2 * std::max<size_t>(size(), 1));
        return static_cast<float>(0.5 - 0.2 / (1 + mean));
    }

    void round_to_indices(float offset) {
        indices_.resize(size());
        for (size_t i = 0; i < size(); ++i) {
            const auto magnitude = static_cast<int32_t>(std::fabs(scaled_[i]) * 0.5f + offset);
            indices_[i] = scaled_[i] < 0 ? -magnitude : magnitude;
        }
    }

    template <class Coder>
    Status code(Coder& coder) {
        code_header(coder);
        if (header_.any) code_distances(coder);
        if constexpr (!Coder::is_encoder) {
            if (const Status status = take_header(); status != Status::ok) return status;
        }
        if (header_.any) code_levels(coder);
        return Status::ok;
    }

    Status take_header() {
        for (const int32_t coefficient : header_.coefficients)
            if (!is_within(coefficient, largest_coefficient)) return Status::corrupt;
        set_predictions();
        if (!header_.any) return Status::ok;
        if (!set_step(header_.scale)) return Status::corrupt;
        expect();
        look_at_signs();
        return Status::ok;
    }

    template <class Coder>
    void code_header(Coder& coder) {
        header_.any = coder.template bit<FlagRates>(contexts_.any, header_.any);
        if (header_.any) {
            header_.dependent = coder.template bit<FlagRates>(contexts_.dependent, header_.dependent);
            header_.scale = code_known(coder, contexts_.other_scale, contexts_.scale, header_.scale);
        }
        if (means_.count() == 0) return;
        const bool is_any = coder.template bit<FlagRates>(contexts_.predicted, header_.coefficients != Coefficients{});
        for (unsigned m = 0; is_any && m < means_.count(); ++m)
            header_.coefficients[m] = code_known(coder, contexts_.other_coefficient, contexts_.coefficients[m], header_.coefficients[m]);
    }

    template <class Coder>
    void code_distances(Coder& coder) {
        if (!coder.template bit<FlagRates>(contexts_.other_distances, header_.distances.has_value())) return;
        Distances distances = header_.distances.value_or(Distances{});
        for (uint16_t& distance : distances) distance = static_cast<uint16_t>(coder.bypass(16, distance));
        contexts_.signs.take_distances(distances);
    }

    template <class Coder>
    void code_levels(Coder& coder) {
        Neighbourhood around = neighbourhood(contexts_.signs);
        unsigned state = first_state(header_.dependent);
        for (size_t i = 0; i < size(); ++i) {
            int32_t index = Coder::is_encoder ? indices_[i] : 0;
            index = code_index(coder, contexts_, around, state, index);
            levels_[i] = level_of(index, state);
            around.push(levels_[i]);
            state = state_behind(state, index, header_.dependent);
        }
    }

    // Where nothing is added the reference's bits stay, NaN payloads and the sign of zero included.
    Word reconstructed(size_t i, Word from, int32_t level) const {
        const Real moved = static_cast<Real>(level) * step_;
        const Real added = predicted(i) + (level != 0 ? moved : 0);  // a step that no level can have may be infinite
        return added == 0 ? from : RealOf<kind>::bits(RealOf<kind>::value(from) + added);
    }

    // Returns whether, encoding, any weight misses its bound.
    bool reconstruct() {
        bool any_misses = false;
        for (size_t i = 0; i < size(); ++i) {
            const Word got = reconstructed(i, reference(i), levels_[i]);
            N::store(segment_.result, i, got);
            if (segment_.source != nullptr) any_misses |= misses<kind>(got, N::load(segment_.source, i), bound(i));
        }
        return any_misses;
    }

    // Without a bound from the caller one that only a weight out of reach of all levels exceeds.
    double bound(size_t i) const {
        if (std::isfinite(segment_.max_error)) return segment_.max_error;
        constexpr double rounding = 2.0 / static_cast<double>(uint64_t{1} << N::n_mantissa_bits);
        const double step = static_cast<double>(step_), value = std::fabs(source(i));
        return 64 * step + (value + step) * rounding + static_cast<double>(RealOf<kind>::value(1));
    }

    // The exact bits of every weight that misses the bound, as differences to what was reconstructed.
    template <class Coder>
    void code_corrections(Coder& coder) {
        ResidualContexts contexts;
        contexts.reset();
        for (size_t i = 0; i < size(); ++i) {
            const Word got = N::load(segment_.result, i);
            int64_t difference = 0;
            if constexpr (Coder::is_encoder) {
                const Word wanted = N::load(segment_.source, i);
                if (misses<kind>(got, wanted, bound(i))) difference = N::difference(wanted, got);
            }
            difference = code_residual(coder, contexts, N::bucket(got), difference);
            if (difference != 0) N::store(segment_.result, i, N::displaced(got, difference));
        }
    }

    void finish() {
        for (size_t i = 0; i < size(); ++i) {
            const Word got = N::load(segment_.result, i), from = reference(i);
            const bool is_changed = got != from;
            segment_.n_changed += is_changed;
            if (is_changed && segment_.changed != nullptr) segment_.changed[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
            means_.take(i, static_cast<float>(RealOf<kind>::value(got) - RealOf<kind>::value(from)));
            if (segment_.source != nullptr) note_error(segment_, error_of<kind>(got, N::load(segment_.source, i)));
        }
    }

    // The greatest scale whose error stays within the wanted part of the difference, or nearly so.
    int32_t scale_for_relative_error() {
        double energy = 0;
        for (size_t i = 0; i < size(); ++i) {
            if (const double distance = difference(i); std::isfinite(distance)) energy += distance * distance;
        }
        const double allowed = segment_.relative_error * segment_.relative_error * energy;
        if (!(energy > 0) || !std::isfinite(energy)) return contexts_.scale;
        int32_t low = -most_scale, high = most_scale;  // within, beyond
        int32_t scale = scale_of(1.5 * std::sqrt(allowed / static_cast<double>(size())) / segment_.step_size);
        for (int attempt = 0; attempt < 12 && high - low > scales_per_octave / 16; ++attempt) {
            const double error = squared_error_at(scale);
            (error <= allowed ? low : high) = scale;
            if (error <= allowed && error > close_enough * allowed) break;
            const int32_t guess = scale + (error > 0 ? std::clamp(scale_of(std::sqrt(allowed / error)), -4096, 4096) : 4096);
            const bool bracketed = low > -most_scale && high < most_scale;
            scale = bracketed ? std::clamp(guess, low + (high - low) / 8, high - (high - low + 7) / 8) : guess + (error <= allowed ? 48 : -48);
            scale = std::clamp(scale, -most_scale, most_scale);
        }
        return low > -most_scale ? low : exact_scale();
    }

    // No step is fine enough: whatever a level does not reach is sent exactly.
    int32_t exact_scale() {
        segment_.max_error = 0;
        return contexts_.scale;
    }

    double squared_error_at(int32_t scale) {
        choose_indices(scale);
        double sum = 0;
        unsigned state = first_state(header_.dependent);
        for (size_t i = 0; i < size(); ++i) {
            const Word got = reconstructed(i, reference(i), level_of(indices_[i], state));
            const Word wanted = N::load(segment_.source, i);
            state = state_behind(state, indices_[i], header_.dependent);
            const double error = error_of<kind>(got, wanted);
            if (!misses<kind>(got, wanted, bound(i))) sum += error * error;
        }
        return sum;
    }

    Segment& segment_;
    LevelContexts& contexts_;
    RunningMeans<kind> means_;
    Header header_;
    Real step_ = 1;
    LevelSearch search_;
    std::vector<Real> predictions_;  // empty for none
    std::vector<float> scaled_;
    std::vector<uint32_t> movements_;
    std::vector<uint32_t> moved_;
    std::vector<int8_t> directions_;
    std::vector<int8_t> signs_;
    std::vector<int32_t> indices_;
    std::vector<int32_t> levels_;
};

}  // namespace incnnr
