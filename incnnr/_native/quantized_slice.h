// A slice on its way to levels or back: prediction, step, levels, corrections, and what it leaves for the next update.
#pragma once

#include <limits>
#include <optional>

#include "binarization.h"
#include "deviation.h"
#include "distances.h"
#include "prediction.h"
#include "scales.h"
#include "slice_arrays.h"
#include "slice_loops.h"

namespace incnnr {

constexpr float price_of_a_bit = 0.5f;  // in squared steps
constexpr double close_enough = 0.88;   // of a squared error that is allowed

template <Kind kind>
class QuantizedSlice {
public:
    using N = NumberOf<kind>;
    using Word = typename N::Word;
    using Real = typename RealOf<kind>::Real;

    QuantizedSlice(Segment& segment, Workspace& workspace)
        : segment_(segment),
          contexts_(*reinterpret_cast<LevelContexts*>(segment.contexts)),
          means_(segment.history, segment.n_means, segment.n_elements),
          arrays_(std::get<SliceArrays<Real>>(workspace)) {
        arrays_.predictions.resize(size());
        arrays_.levels.resize(size());
        arrays_.zeros.resize(segment.reference ? 0 : size() * sizeof(Word));
        reference_ = segment.reference ? segment.reference : arrays_.zeros.data();
    }

    void encode(Encoder& coder) {
        predict();
        look_at_signs();
        choose_others();
        const int32_t scale = segment_.relative_error > 0 ? scale_for_relative_error() : segment_.scale;
        if (!is_chosen_ || scale != header_.scale) choose_indices(scale);
        header_.any = std::any_of(arrays_.indices.begin(), arrays_.indices.end(), [](int32_t index) { return index != 0; });
        code(coder);
        if (coder.bypass(1, reconstruct())) code_corrections(coder);
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
    double source(size_t i) const { return static_cast<double>(RealOf<kind>::value(N::load(segment_.source, i))); }

    const uint8_t* at(const uint8_t* words, size_t i) const { return words + i * sizeof(Word); }

    void set_predictions(size_t first, size_t n) {
        Real* const predictions = arrays_.predictions.data() + first;
        std::fill_n(predictions, n, Real{0});
        if (header_.coefficients == Coefficients{}) return;
        for (unsigned m = 0; m < means_.count(); ++m) {
            const auto factor = static_cast<Real>(static_cast<float>(header_.coefficients[m]) * coefficient_unit);
            for (size_t i = 0; i < n; ++i) predictions[i] += factor * static_cast<Real>(means_.at(m, first + i));
        }
        drop_where_not_finite<kind>(at(reference_, first), predictions, n);
    }

    // False if no step is left.
    bool set_step(int32_t scale) {
        if (!is_within(scale, most_scale)) return false;
        step_ = static_cast<Real>(segment_.step_size * multiplier(scale));
        return step_ >= std::numeric_limits<Real>::min() && std::isfinite(step_);
    }

    void predict() {
        arrays_.rests.resize(size());
        Real* const rests = arrays_.rests.data();
        subtract<kind>(segment_.source, reference_, rests, size());
        if (means_.count() > 0) header_.coefficients = Moments::of(rests, means_, size()).best();
        if (segment_.relative_error > 0) energy_ = finite_energy(rests, size());
        in_pieces(size(), [&](size_t first, size_t n) {
            set_predictions(first, n);
            for (size_t i = first; i < first + n; ++i) rests[i] -= arrays_.predictions[i];
        });
    }

    void choose_others() {
        const Distances known = contexts_.signs.known_distances();
        const Distances chosen = choose_distances(arrays_.rests.data(), size(), width(), known);
        if (chosen != known) header_.distances = chosen;
    }

    // Returns their mean magnitude.
    double scale_rests() {
        arrays_.scaled.resize(size());
        double sum = 0;
        in_pieces(size(), [&](size_t first, size_t n) {
            in_steps(arrays_.rests.data() + first, 1 / static_cast<double>(step_), arrays_.scaled.data() + first, n);
            sum += sum_of_magnitudes(arrays_.scaled.data() + first, n);
        });
        return sum / static_cast<double>(std::max<size_t>(size(), 1));
    }

    // What the updates before let expect of each weight: its own movement and, less, that around it.
    void expect() {
        if (means_.count() == 0) return;
        const auto per_step = static_cast<float>(256 / static_cast<double>(step_));
        arrays_.movements.assign(size() + 2 * width(), 0);
        uint32_t* const own = &arrays_.movements[width()];
        for (size_t i = 0; i < size(); ++i) {
            const float sum = std::fabs(means_.at(0, i)) + (means_.count() > 1 ? 2 * std::fabs(means_.at(1, i)) : 0);
            const float scaled = sum * per_step;
            own[i] = static_cast<uint32_t>(std::min(0x1p20f, scaled));
        }
        arrays_.moved.resize(size());
        const uint32_t* const above = own - width();
        const uint32_t* const below = own + width();
        for (size_t i = 0; i < size(); ++i) arrays_.moved[i] = 19 * own[i] + 5 * (own[i - 1] + own[i + 1] + above[i] + below[i]);
    }

    // Signs of what is known of each weight before its level.
    void look_at_signs() {
        if (means_.count() > 0) {
            arrays_.directions.resize(size());
            take_signs<mean_kind<kind>>(means_.bytes(0), arrays_.directions.data(), size());
        }
        if (segment_.reference != nullptr) {
            arrays_.signs.resize(size());
            take_signs<kind>(reference_, arrays_.signs.data(), size());
        }
    }

    Neighbourhood neighbourhood(const SignModel& signs) const {
        Hints hints;
        if (means_.count() > 0) hints.moved = arrays_.moved.data(), hints.direction = arrays_.directions.data();
        if (segment_.reference != nullptr) hints.sign = arrays_.signs.data();
        return Neighbourhood(size(), width(), hints, signs, arrays_.around);
    }

    void choose_indices(int32_t scale) {
        header_.scale = scale;
        is_chosen_ = true;
        if (!set_step(scale)) {
            arrays_.indices.assign(size(), 0);
            return;
        }
        expect();
        const double mean = scale_rests();
        header_.dependent = segment_.search == Search::trellis;
        if (header_.dependent) {
            LevelContexts contexts = contexts_;
            if (header_.distances) contexts.signs.take_distances(*header_.distances);
            arrays_.search.run(arrays_.scaled.data(), size(), neighbourhood(contexts.signs), contexts, price_of_a_bit, arrays_.indices);
        } else {
            arrays_.indices.resize(size());
            round_to_indices(arrays_.scaled.data(), segment_.search == Search::nearest ? 0.5f : dead_zone(mean), arrays_.indices.data(), size());
        }
    }

    // The sparser the levels, the more bits a one costs and the less an error adds.
    static float dead_zone(double mean) { return static_cast<float>(0.5 - 0.2 / (1 + 0.5 * mean)); }

    template <class Coder>
    Status code(Coder& coder) {
        code_header(coder);
        if (header_.any) code_distances(coder);
        if constexpr (!Coder::is_encoder) {
            if (const Status status = take_header(); status != Status::ok) return status;
        }
        if (header_.any)
            code_levels(coder);
        else
            arrays_.levels.assign(size(), 0);
        return Status::ok;
    }

    Status take_header() {
        for (const int32_t coefficient : header_.coefficients)
            if (!is_within(coefficient, largest_coefficient)) return Status::corrupt;
        set_predictions(0, size());
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
        const int32_t* const indices = arrays_.indices.data();
        int32_t* const levels = arrays_.levels.data();
        unsigned state = first_state(header_.dependent);
        for (size_t i = 0; i < size(); ++i) {
            const int32_t index = code_index(coder, contexts_, around, state, Coder::is_encoder ? indices[i] : 0);
            levels[i] = level_of(index, state);
            around.push(levels[i]);
            state = state_behind(state, index, header_.dependent);
        }
    }

    // Returns whether, encoding, any weight misses its bound.
    bool reconstruct() {
        bool any_misses = false;
        in_pieces(size(), [&](size_t first, size_t n) {
            add_levels<kind>(at(reference_, first), arrays_.predictions.data() + first, arrays_.levels.data() + first, step_, segment_.result + first * sizeof(Word), n);
            if (segment_.source != nullptr && !any_misses) any_misses = any_miss(first, n);
        });
        return any_misses;
    }

    bool any_miss(size_t first, size_t n) const {
        const double below = std::isfinite(segment_.max_error) ? segment_.max_error * (1 - 0x1p-20) : 32 * static_cast<double>(step_);
        const Real sure = std::nextafter(static_cast<Real>(below), Real{0});
        if (!any_may_miss<kind>(at(segment_.result, first), at(segment_.source, first), n, sure)) return false;
        for (size_t i = first; i < first + n; ++i)
            if (misses<kind>(N::load(segment_.result, i), N::load(segment_.source, i), bound(i))) return true;
        return false;
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
        segment_.n_changed = 0;
        in_pieces(size(), [&](size_t first, size_t n) {
            const uint8_t* const before = at(reference_, first);
            const uint8_t* const after = at(segment_.result, first);
            segment_.n_changed += n_unequal<kind>(after, before, n);
            if (segment_.changed != nullptr) mark_unequal<kind>(after, before, segment_.changed + first / 8, n);
            means_.take(first, before, after, n);
            if (segment_.source != nullptr) note_errors<kind>(segment_, after, at(segment_.source, first), n);
        });
    }

    // The greatest scale whose error stays within the wanted part of the difference, or nearly so.
    int32_t scale_for_relative_error() {
        const double allowed = segment_.relative_error * segment_.relative_error * energy_;
        if (!(energy_ > 0) || !std::isfinite(energy_)) return contexts_.scale;
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
        unsigned state = first_state(header_.dependent);
        for (size_t i = 0; i < size(); ++i) {
            arrays_.levels[i] = level_of(arrays_.indices[i], state);
            state = state_behind(state, arrays_.indices[i], header_.dependent);
        }
        reconstruct();
        double sum = 0;
        for (size_t i = 0; i < size(); ++i) {
            const Word got = N::load(segment_.result, i), wanted = N::load(segment_.source, i);
            if (misses<kind>(got, wanted, bound(i))) continue;
            const double error = error_of<kind>(got, wanted);
            sum += error * error;
        }
        return sum;
    }

    Segment& segment_;
    LevelContexts& contexts_;
    RunningMeans<kind> means_;
    SliceArrays<Real>& arrays_;
    const uint8_t* reference_;
    Header header_;
    Real step_ = 1;
    double energy_ = 0;  // of the difference
    bool is_chosen_ = false;
};

}  // namespace incnnr
