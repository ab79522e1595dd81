// The arithmetic coder of ISO/IEC 15938-17: a 9-bit range, and an interval that moves bit by bit.
//
// Coders are a few registers that may be copied: a loop works on a copy of its own, which the compiler can keep in
// registers, and puts it back.
#pragma once

#include <new>

#include "engine.h"
#include "nnc_context.h"

namespace incnnr {

// Up to n zeros in contexts that take turns; a decoder may find fewer, and then the one behind them. Returns how many zeros.
template <unsigned length, class Coder>
[[gnu::always_inline]] inline size_t code_zeros(Coder& coder, NncContext* const* cycle, size_t n) {
    NncContext own[length];
    for (unsigned i = 0; i < length; ++i) own[i] = *cycle[i];
    const auto are_settled = [&own] {
        for (const NncContext& context : own)
            if (!is_settled(context) || context.row != own[0].row) return false;
        return true;
    };
    size_t done = 0;
    for (bool one = false; done < n && !one;) {
        if (are_settled())
            while (const size_t passed = coder.pass_run(own[0], n - done)) done += passed;
        for (const size_t stop = std::min(n, done + 16); done < stop && !one; done += !one) one = coder.bit(own[done % length], false);
    }
    for (unsigned i = 0; i < length; ++i) *cycle[i] = own[i];
    return done;
}

class NncEncoder {
public:
    static constexpr bool is_encoder = true;

    explicit NncEncoder(ByteSink& sink) : sink_(&sink) {}

    // Without a branch: which symbol is the less probable one is hard to predict.
    [[gnu::always_inline]] bool bit(NncContext& context, bool value) {
        const NncSplit split = split_of(context, range_);
        const bool is_unlikely = value ^ context.likely();
        const unsigned n = split.shift(is_unlikely);
        low_ += is_unlikely ? split.threshold() >> 55 : 0;
        range_ = split.range(is_unlikely);
        shift(n);
        adapt(context, value);
        return value;
    }

    [[gnu::always_inline]] bool even_bit(NncContext& context, bool value) { return bit(context, value); }

    template <unsigned length>
    size_t zeros(NncContext* const* cycle, size_t n) {
        return code_zeros<length>(*this, cycle, n);
    }

    // Codes the more probable symbol until the range loses a bit, if that takes no more than n; returns how often.
    size_t pass_run(const NncContext& context, size_t n) {
        const NncRun run = nnc_tables.runs[context.row][range_];
        if (run.n > n) return 0;
        range_ = run.range;
        shift(1);
        return run.n;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        for (unsigned left = n_bits; left > 0;) {
            const unsigned n = std::min(left, 16u);
            left -= n;
            low_ = (low_ << n) + uint64_t{256 + range_} * (value >> left & 0xffff >> (16 - n));
            n_low_bits_ += n;
            if (n_low_bits_ >= 48) emit();
        }
        return value;
    }

    void set_range_256() { range_ = 0; }

    // Bits that a decoder has taken here after the first 16, and the low end of the interval in units of the last of them.
    uint64_t n_bits_taken() const { return 8 * uint64_t{sink_->size()} + n_low_bits_ - 9; }
    uint8_t entry_value() const { return static_cast<uint8_t>(low_); }

    // The terminating bin, the stop bit and the padding.
    void finish() {
        low_ += 256 + range_ - 2;
        low_ <<= 7;
        n_low_bits_ += 7;
        if (low_ >> n_low_bits_) sink_->add_carry();
        low_ &= (uint64_t{1} << n_low_bits_) - 1;
        low_ = low_ >> 8 << 1 | 1;
        n_low_bits_ -= 7;
        const unsigned padding = (8 - n_low_bits_ % 8) % 8;
        sink_->put_big_endian(low_ << padding, (n_low_bits_ + padding) / 8);
    }

private:
    void shift(unsigned n) {
        low_ <<= n;
        n_low_bits_ += n;
        if (__builtin_expect(n_low_bits_ >= 48, 0)) emit();
    }

    void emit() {
        low_ = flushed(*sink_, low_, n_low_bits_ - 32);
        n_low_bits_ -= 32;
    }

    // Writes the carry and the bits of `low` above its last n_kept; returns those.
    [[gnu::noinline]] static uint64_t flushed(ByteSink& sink, uint64_t low, unsigned n_kept) {
        if (low >> (n_kept + 32)) sink.add_carry();
        sink.put_big_endian(low >> n_kept & 0xffffffff, 4);
        return low & ((uint64_t{1} << n_kept) - 1);
    }

    ByteSink* sink_;
    uint64_t low_ = 0;
    uint32_t range_ = 510 - 256;
    unsigned n_low_bits_ = 9;  // low < 2^n_low_bits, a pending carry aside; below 48 between calls
};

class NncDecoder {
public:
    static constexpr bool is_encoder = false;

    NncDecoder(const uint8_t* bytes, size_t n_bytes) : bytes_(bytes), n_bytes_(n_bytes) { refill(); }

    // With branches, that following contexts can be prepared on the assumption that they are predicted.
    [[gnu::always_inline]] bool bit(NncContext& context, bool) {
        const NncSplit split = split_of(context, range_);
        const bool is_likely = value_ < split.threshold();
        if (context.likely()) {
            if (__builtin_expect(is_likely, 1)) return take_likely(context, split, true);
            return take_unlikely(context, split, false);
        }
        if (__builtin_expect(is_likely, 1)) return take_likely(context, split, false);
        return take_unlikely(context, split, true);
    }

    // The same without a branch, for bins that no branch predictor could tell.
    [[gnu::always_inline]] bool even_bit(NncContext& context, bool) {
        const NncSplit split = split_of(context, range_);
        const bool is_unlikely = value_ >= split.threshold();
        value_ -= split.threshold() & (0 - uint64_t{is_unlikely});
        const uint64_t chosen = split.packed >> (16 * is_unlikely);
        range_ = static_cast<uint8_t>(chosen);
        consume(static_cast<uint8_t>(chosen >> 8));
        const bool value = is_unlikely ^ context.likely();
        adapt(context, value);
        return value;
    }

    template <unsigned length>
    size_t zeros(NncContext* const* cycle, size_t n) {
        return code_zeros<length>(*this, cycle, n);
    }

    // Likewise, if all of them are there: even the last one, at the narrowest range.
    size_t pass_run(const NncContext& context, size_t n) {
        const NncRun run = nnc_tables.runs[context.row][range_];
        if (run.n > n || value_ >= uint64_t{256u + run.range} << 54) return 0;
        range_ = run.range;
        consume(1);
        return run.n;
    }

    uint32_t bypass(unsigned n_bits, uint32_t) {
        uint32_t value = 0;
        for (unsigned left = n_bits; left > 0;) {
            const unsigned n = std::min(left, 8u);
            left -= n;
            const uint32_t part = static_cast<uint32_t>((value_ >> (55 - n)) / (256 + range_));
            value_ -= uint64_t{part * (256 + range_)} << (55 - n);
            consume(n);
            value = value << n | part;
        }
        return value;
    }

    void set_range_256() { range_ = 0; }

    // Whether the terminating bin says that the codeword ends here.
    bool terminates() {
        return value_ >= uint64_t{256 + range_ - 2} << 55;
    }

    // Bits taken so far after the first 16.
    uint64_t n_bits_taken() const { return 8 * uint64_t{n_loaded_} - 16 - static_cast<uint64_t>(n_ahead_); }
    uint8_t entry_value() const { return static_cast<uint8_t>(value_ >> 55); }

    // Bytes of the codeword, if it ends here.
    size_t n_bytes_used() const { return 2 + static_cast<size_t>(n_bits_taken() / 8); }
    bool has_overrun() const { return n_bytes_used() > n_bytes_; }

private:
    [[gnu::always_inline]] bool take_likely(NncContext& context, NncSplit split, bool value) {
        range_ = split.range(false);
        consume(split.shift(false));
        adapt(context, value);
        return value;
    }

    [[gnu::always_inline]] bool take_unlikely(NncContext& context, NncSplit split, bool value) {
        value_ -= split.threshold();
        range_ = split.range(true);
        consume(split.shift(true));
        adapt(context, value);
        return value;
    }

    void consume(unsigned n) {
        value_ <<= n;
        n_ahead_ -= static_cast<int>(n);
        if (__builtin_expect(n_ahead_ < 8, 0)) refill();
    }

    // value_ holds a window of 16 bits at its top and n_ahead_ more behind the window: at least the 8 that one decision
    // takes at most. Zeros follow the last byte.
    void refill() {
        const uint8_t* const b = bytes_ + n_loaded_;
        const uint32_t word = n_loaded_ + 4 <= n_bytes_ ? uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3] : last_word();
        value_ |= uint64_t{word} << (16 - n_ahead_);
        n_loaded_ += 4;
        n_ahead_ += 32;
    }

    uint32_t last_word() const {
        uint32_t word = 0;
        for (size_t i = n_loaded_; i < n_loaded_ + 4; ++i) word = word << 8 | (i < n_bytes_ ? bytes_[i] : 0u);
        return word;
    }

    const uint8_t* bytes_;
    size_t n_bytes_;
    size_t n_loaded_ = 0;  // beyond n_bytes_ if zeros have been taken
    uint64_t value_ = 0;
    uint32_t range_ = 510 - 256;
    int n_ahead_ = -16;
};

}  // namespace incnnr
