#include "differences.h"

#include "change_map.h"
#include "difference_state.h"
#include "hazard_clock.h"
#include "history.h"
#include "xxh64.h"

namespace incnnr {
namespace {

// One segment on its way; `kind` says how elements are read.
template <Kind kind, class Coder, class Bulk>
class Differences {
    using N = NumberOf<kind>;
    using Word = typename N::Word;
    using State = DifferenceStateOf<kind>;
    static constexpr unsigned class_bits = n_class_bits(N::n_bits);
    static constexpr bool encodes = Coder::is_encoder;

public:
    Differences(Coder& coder, Bulk& bulk, Segment& segment)
        : coder_(coder),
          bulk_(bulk),
          segment_(segment),
          state_(*reinterpret_cast<State*>(segment.contexts)),
          history_(reinterpret_cast<History*>(segment.history)) {
        load_hazards();
    }

    Status code() {
        Status status = Status::ok;
        Xxh64 digest(0);
        size_t n_hashed = 0;
        for (first_ = 0; first_ < segment_.n_elements; first_ += chunk_elements) {
            n_ = static_cast<unsigned>(std::min<size_t>(chunk_elements, segment_.n_elements - first_));
            if (segment_.keeps_before && !before_.reserve(n_ * sizeof(Word))) {
                status = Status::out_of_memory;
                break;
            }
            code_chunk();
            const size_t n_whole = n_ * sizeof(Word) / Xxh64::stripe_bytes * Xxh64::stripe_bytes;
            digest.add_stripes(segment_.result + n_hashed, n_whole);
            n_hashed += n_whole;
        }
        segment_.digest = digest.finish(segment_.result + n_hashed, segment_.n_elements * sizeof(Word) - n_hashed);
        segment_.before_bytes = before_.size();
        segment_.before = before_.release();
        return status;
    }

private:
    // Saved contexts are not trusted: the clock needs hazards in this range.
    void load_hazards() {
        const uint32_t* hazards = history_ ? history_->rates.hazard : state_.rates.hazard;
        for (unsigned i = 0; i < n_classes(); ++i) hazards_[i] = std::clamp(hazards[i], 1u, largest_hazard);
    }

    unsigned n_classes() const { return history_ ? n_pasts * n_buckets : n_buckets; }
    Word from(unsigned i) const { return N::load(segment_.reference, first_ + i); }
    Word to(unsigned i) const { return N::load(segment_.source, first_ + i); }

    void code_chunk() {
        n_changed_ = 0;
        if constexpr (encodes) find_changes();
        classify();
        const size_t n_bytes = n_ * sizeof(Word);
        uint8_t* const result = segment_.result + first_ * sizeof(Word);
        const uint8_t* const start = (encodes ? segment_.source : segment_.reference) + first_ * sizeof(Word);
        if (result != start) std::memcpy(result, start, n_bytes);
        if (segment_.changed != nullptr) keep_old(n_bytes);
        mode_ = code_mode(encodes ? best_mode() : ChunkMode::sparse);
        switch (mode_) {
            case ChunkMode::sparse: code_sparse(); break;
            case ChunkMode::dense: code_dense(); break;
            case ChunkMode::plain: code_plain(); break;
        }
        segment_.n_changed += n_changed_;
        if (segment_.changed != nullptr) note_changes();
        if (history_ != nullptr) remember();
    }

    // What decoding writes over is copied; a reference apart from the result stays as it is.
    void keep_old(size_t n_bytes) {
        old_ = segment_.reference + first_ * sizeof(Word);
        if (segment_.result == segment_.reference) old_ = static_cast<uint8_t*>(std::memcpy(copied_, old_, n_bytes));
    }

    // An element is noted with its old value or not at all, so that those that are can be put back at any time.
    void note_changes() {
        for (unsigned k = 0; k < n_changed_; ++k) {
            const unsigned i = changed_[k];
            const Word before = N::load(old_, i);
            if (before == N::load(segment_.result, first_ + i)) continue;
            segment_.changed[(first_ + i) / 8] |= static_cast<uint8_t>(1u << ((first_ + i) % 8));
            if (segment_.keeps_before) before_.put_little_endian(before, sizeof(Word));
        }
    }

    // ---- what the encoder looks at first ----

    void find_changes() {
        map_.template compare<N>(segment_.reference + first_ * sizeof(Word), segment_.source + first_ * sizeof(Word), n_);
        n_changed_ = map_.n_changed();
    }

    ChunkMode best_mode() {
        if (12 * n_changed_ <= n_) return ChunkMode::sparse;
        map_.list(changed_);
        uint64_t n_bits = 9 * n_ / 4;  // of classes
        for (unsigned k = 0; k < n_changed_; k += 4) n_bits += 4 * bit_length(magnitude(difference_at(changed_[k])));
        return n_bits < uint64_t{N::n_bits} * n_ ? ChunkMode::dense : ChunkMode::plain;
    }

    int64_t difference_at(unsigned i) const { return N::difference(to(i), from(i)); }
    static uint64_t magnitude(int64_t difference) { return difference < 0 ? 0 - static_cast<uint64_t>(difference) : static_cast<uint64_t>(difference); }
    static unsigned bit_length(uint64_t value) { return value == 0 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(value)); }

    // ---- all modes ----

    void classify() {
        const uint8_t* const reference = segment_.reference + first_ * sizeof(Word);
        for (unsigned i = 0; i < n_; ++i) classes_[i] = static_cast<uint16_t>(N::bucket(N::load(reference, i)));
        if (history_ == nullptr) return;
        const uint8_t* const pasts = history_->pasts_at(first_);
        for (unsigned k = 0; k < (n_ + 1) / 2; ++k) {
            classes_[2 * k] = static_cast<uint16_t>(classes_[2 * k] + n_buckets * (pasts[k] & 15u));
            classes_[2 * k + 1] = static_cast<uint16_t>(classes_[2 * k + 1] + n_buckets * (pasts[k] >> 4));
        }
    }

    ChunkMode code_mode(ChunkMode mode) {
        const auto before = static_cast<unsigned>(mode_);
        if (!coder_.template bit<WeightRates>(state_.coded[before], mode != ChunkMode::sparse)) return ChunkMode::sparse;
        return coder_.template bit<WeightRates>(state_.plain[before], mode == ChunkMode::plain) ? ChunkMode::plain : ChunkMode::dense;
    }

    Context& negative(unsigned i) { return history_ ? history_->negative[classes_[i]] : state_.negative; }

    // Encoding, the element is there already. Decoding, the difference may be anything, 0 modulo 2^n_bits included.
    void settle(unsigned i, int64_t difference) {
        if constexpr (!encodes) {
            const Word before = from(i);
            const Word after = N::displaced(before, difference);
            N::store(segment_.result, first_ + i, after);
            difference = N::difference(after, before);
        }
        if (history_ != nullptr) directions_[i] = direction_of(difference);
    }

    static int8_t direction_of(int64_t difference) { return static_cast<int8_t>((difference > 0) - (difference < 0)); }

    void remember() {
        uint8_t* const pasts = history_->pasts_at(first_);
        Pasts::grow_older(pasts, n_);
        for (unsigned k = 0; k < n_changed_; ++k)
            if (const int direction = directions_[changed_[k]]; direction != 0) Pasts::set_changed(pasts, changed_[k], direction > 0);
    }

    // ---- sparse ----

    void code_sparse() {
        clock_.wind(classes_, n_, hazards_, n_classes());
        n_stretches_ = clock_.cut(n_, pace_.stretch(), stretches_);
        scale_ = scale_of(pace_.stretch());
        code_stretches();
        code_places();
        code_changes();
        pace_.learn(clock_.at(n_), n_changed_);
        const size_t number = first_ / chunk_elements;
        if (number < 8 || number % (history_ ? 4 : 16) == 0) {
            learn_rates();
            learn_odds();
        }
    }

    // Which stretches have changes: all of them first, for then there is no need to guess what comes next.
    void code_stretches() {
        Coder coder = coder_;
        unsigned n_found = 0;
        for (unsigned s = 0; s < n_stretches_; ++s) {
            const Stretch stretch = stretches_[s];
            const unsigned length = length_of(clock_.at(stretch.stop) - clock_.at(stretch.start), scale_);
            const bool any = coder.fixed_bit(state_.changes[length].probability(), encodes && map_.any(stretch.start, stretch.stop));
            changes_tally_[length] += any << 16 | 1u;
            found_[n_found] = static_cast<uint16_t>(s);
            n_found += any;
        }
        n_found_ = n_found;
        coder_ = coder;
    }

    // Where in them. Decoding, that makes the list of what changes.
    void code_places() {
        Coder coder = coder_;
        unsigned n = 0;
        for (unsigned k = 0; k < n_found_; ++k) {
            const auto [start, stop] = stretches_[found_[k]];
            bool more = true;
            for (unsigned i = start; more && i < stop;) {
                const unsigned place = code_place(coder, i, stop, encodes ? map_.first(i, stop) : 0);
                changed_[n++] = static_cast<uint16_t>(place);
                i = place + 1;
                if (i == stop) break;
                const unsigned length = length_of(clock_.at(stop) - clock_.at(i), scale_);
                more = coder.fixed_bit(state_.more[length].probability(), encodes && map_.any(i, stop));
                more_tally_[length] += more << 16 | 1u;
            }
        }
        n_changed_ = n;
        coder_ = coder;
    }

    // Which element of [i, stop) changes, each as likely as its hazard says.
    [[gnu::always_inline]] unsigned code_place(Coder& coder, unsigned i, unsigned stop, unsigned changed) const {
        if (stop - i == 1) return i;
        const uint32_t total = clock_.at(stop) - clock_.at(i);
        if constexpr (!encodes) changed = clock_.element_at(i, coder.target(total));
        coder.interval(clock_.at(changed) - clock_.at(i), clock_.at(changed + 1) - clock_.at(changed), total);
        return changed;
    }

    void code_changes() {
        code_directions();
        for (unsigned k = 0; k < n_changed_; ++k) {
            const unsigned i = changed_[k];
            uint64_t size = 1;
            if (leaps_[k]) {
                size = encodes ? magnitude(difference_at(i)) : 0;
                size = code_size(classes_[i] % n_buckets, size);
            }
            settle(i, static_cast<int64_t>(falls_[k] ? 0 - size : size));
        }
    }

    void code_directions() {
        Coder coder = coder_;
        for (unsigned k = 0; k < n_changed_; ++k) {
            const unsigned c = classes_[changed_[k]];
            int64_t difference = 0;
            if constexpr (encodes) difference = difference_at(changed_[k]);
            falls_[k] = coder.fixed_bit(falls()[c].probability(), difference < 0);
            leaps_[k] = coder.fixed_bit(state_.leaps[c % n_buckets].probability(), magnitude(difference) > 1);
            falls_tally_[c] += falls_[k] << 16 | 1u;
            leaps_tally_[c % n_buckets] += leaps_[k] << 16 | 1u;
        }
        coder_ = coder;
    }

    // From this chunk and those since it was done last.
    void learn_odds() {
        for (unsigned i = 0; i < n_lengths; ++i) incnnr::learn(state_.changes[i], changes_tally_[i]);
        for (unsigned i = 0; i < n_lengths; ++i) incnnr::learn(state_.more[i], more_tally_[i]);
        for (unsigned i = 0; i < n_buckets; ++i) incnnr::learn(state_.leaps[i], leaps_tally_[i]);
        for (unsigned c = 0; c < n_classes(); ++c) incnnr::learn(falls()[c], falls_tally_[c]);
    }

    Odds* falls() { return history_ ? history_->falls : state_.falls; }

    // The rates that the next chunk is coded with.
    void learn_rates() {
        for (unsigned k = 0; k < n_changed_; ++k) ++n_changed_in_[classes_[changed_[k]]];
        for (unsigned i = 0; i < n_; ++i) ++n_seen_in_[i % 2][classes_[i]];
        auto learn_into = [&](auto& rates) {
            for (unsigned c = 0; c < n_classes(); ++c) {
                const uint32_t n_seen = n_seen_in_[0][c] + uint32_t{n_seen_in_[1][c]};
                if (n_seen == 0) continue;
                rates.learn(c, n_changed_in_[c], n_seen);
                hazards_[c] = std::clamp(rates.hazard[c], 1u, largest_hazard);
                n_changed_in_[c] = n_seen_in_[0][c] = n_seen_in_[1][c] = 0;
            }
        };
        if (history_ != nullptr) {
            learn_into(history_->rates);
        } else {
            learn_into(state_.rates);
        }
    }

    // ---- magnitudes ----

    uint64_t code_size(unsigned bucket, uint64_t size) { return code_low_bits(code_class(bucket, size), size); }

    unsigned code_class(unsigned bucket, uint64_t size) {
        const unsigned size_class = std::min(bit_length(size), 63u);
        unsigned node = 1;
        for (unsigned left = class_bits; left-- > 0;)
            node = 2 * node + coder_.template even_bit<WeightRates>(state_.magnitude[bucket][node], size_class >> left & 1);
        return node - (1u << class_bits);
    }

    // The bits below the leading one: two with contexts, then whether all others are 0.
    uint64_t code_low_bits(unsigned size_class, uint64_t size) {
        if (size_class == 63) return bulk_.bits(64, size);
        if (size_class < 2) return size_class;
        unsigned left = size_class - 1;
        Context* const top = state_.top_bits[size_class];
        uint64_t high = 2 | coder_.template even_bit<WeightRates>(top[0], size >> --left & 1);
        if (left == 0) return high;
        high = 2 * high + coder_.template even_bit<WeightRates>(top[high - 1], size >> --left & 1);
        if (left == 0) return high;
        const uint64_t rest = low_bits_of(size, left);
        if (coder_.template bit<WeightRates>(state_.round[size_class], rest == 0)) return high << left;
        return high << left | bulk_.bits(left, rest);
    }

    // ---- dense and plain ----

    void code_dense() {
        Context* const contexts = history_ ? history_->changed : state_.changed;
        for (unsigned i = 0; i < n_; ++i)
            if (coder_.template bit<WeightRates>(contexts[classes_[i]], encodes && from(i) != to(i))) {
                if constexpr (!encodes) changed_[n_changed_++] = static_cast<uint16_t>(i);
                settle(i, code_change(i));
            }
    }

    int64_t code_change(unsigned i) {
        int64_t difference = 0;
        if constexpr (encodes) difference = difference_at(i);
        const bool is_negative = coder_.template even_bit<WeightRates>(negative(i), difference < 0);
        const unsigned bucket = classes_[i] % n_buckets;
        uint64_t size = magnitude(difference);
        size = coder_.template bit<WeightRates>(state_.greater[bucket], size > 1) ? code_size(bucket, size) : 1;
        return static_cast<int64_t>(is_negative ? 0 - size : size);
    }

    void code_plain() {
        constexpr unsigned n_lanes = 64 / N::n_bits;
        n_changed_ = 0;
        unsigned i = 0;
        for (; i + n_lanes <= n_; i += n_lanes) code_plain_lanes<n_lanes>(i);
        for (; i < n_; ++i) code_plain_lanes<1>(i);
    }

    template <unsigned n_lanes>
    void code_plain_lanes(unsigned i) {
        uint64_t lanes = 0;
        if constexpr (encodes)
            for (unsigned j = 0; j < n_lanes; ++j) lanes |= uint64_t{to(i + j)} << (j * N::n_bits);
        lanes = bulk_.bits(n_lanes * N::n_bits, lanes);
        for (unsigned j = 0; j < n_lanes; ++j) {
            const auto word = static_cast<Word>(lanes >> (j * N::n_bits));
            const Word before = from(i + j);
            changed_[n_changed_] = static_cast<uint16_t>(i + j);
            n_changed_ += word != before;
            if (history_ != nullptr) directions_[i + j] = direction_of(N::difference(word, before));
            N::store(segment_.result, first_ + i + j, word);
        }
    }

    static constexpr uint32_t largest_hazard = (1u << (hazard_bits + 1)) - 1;

    Coder& coder_;
    Bulk& bulk_;
    Segment& segment_;
    State& state_;
    History* const history_;
    ByteSink before_;
    const uint8_t* old_ = nullptr;  // the reference of the chunk as it was, if changes are noted
    uint8_t copied_[chunk_elements * sizeof(Word)];
    Pace pace_;
    ChunkMode mode_ = ChunkMode::sparse;
    size_t first_ = 0;   // element of the segment that the chunk begins with
    unsigned n_ = 0;     // elements of the chunk
    unsigned n_changed_ = 0;
    uint16_t changed_[chunk_elements + 1];
    ChangeMap map_;
    Stretch stretches_[chunk_elements];
    unsigned n_stretches_ = 0;
    uint16_t found_[chunk_elements + 1];
    unsigned n_found_ = 0;
    uint64_t scale_ = 0;
    uint8_t falls_[chunk_elements];
    uint8_t leaps_[chunk_elements];
    int8_t directions_[chunk_elements];
    uint16_t classes_[chunk_elements];
    HazardClock clock_;
    uint32_t hazards_[n_pasts * n_buckets];
    Tally changes_tally_[n_lengths] = {};
    Tally more_tally_[n_lengths] = {};
    Tally falls_tally_[n_pasts * n_buckets] = {};
    Tally leaps_tally_[n_buckets] = {};
    uint16_t n_changed_in_[n_pasts * n_buckets] = {};
    uint16_t n_seen_in_[2][n_pasts * n_buckets] = {};
};

template <class Coder, class Bulk>
Status code_differences(Coder& coder, Bulk& bulk, Segment& segment) {
    segment.n_changed = 0;
    segment.largest_error = 0;
    return with_kind(segment.kind, [&](auto constant) { return Differences<decltype(constant)::value, Coder, Bulk>(coder, bulk, segment).code(); });
}

}  // namespace

void encode_differences(Encoder& coder, BulkEncoder& bulk, Segment& segment) { code_differences(coder, bulk, segment); }
Status decode_differences(Decoder& coder, BulkDecoder& bulk, Segment& segment) { return code_differences(coder, bulk, segment); }

size_t difference_state_bytes(Kind kind) {
    return with_kind(kind, [](auto constant) { return sizeof(DifferenceStateOf<decltype(constant)::value>); });
}

void reset_difference_state(Kind kind, uint8_t* state) {
    with_kind(kind, [&](auto constant) { reinterpret_cast<DifferenceStateOf<decltype(constant)::value>*>(state)->reset(); });
}

size_t history_bytes(size_t n_elements) { return History::n_bytes(n_elements); }
void reset_history(size_t n_elements, uint8_t* history) { reinterpret_cast<History*>(history)->reset(n_elements); }

}  // namespace incnnr
