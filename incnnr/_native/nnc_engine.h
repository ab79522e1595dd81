// The arithmetic coder of ISO/IEC 15938-17: a 9-bit range, and an interval that moves bit by bit.
#pragma once

#include "engine.h"
#include "nnc_context.h"

namespace incnnr {

class NncEncoder {
public:
    static constexpr bool is_encoder = true;

    explicit NncEncoder(ByteSink& sink) : sink_(sink) {}

    bool bit(NncContext& context, bool value) {
        const int state = combined_state(context);
        const uint32_t lps = lps_range(range_, state);
        range_ -= lps;
        if (value != (state >= 0)) {
            low_ += range_;
            range_ = lps;
        }
        if (range_ < 256) shift(static_cast<unsigned>(__builtin_clz(range_)) - 23);
        adapt(context, value);
        return value;
    }

    uint32_t bypass(unsigned n_bits, uint32_t value) {
        for (unsigned left = n_bits; left-- > 0;) {
            low_ <<= 1;
            ++n_low_bits_;
            if (value >> left & 1) low_ += range_;
            emit();
        }
        return value;
    }

    void set_range_256() { range_ = 256; }

    // Bits that a decoder has taken here after the first 16, and the low end of the interval in units of the last of them.
    uint64_t n_bits_taken() const { return 8 * uint64_t{sink_.size()} + n_low_bits_ - 9; }
    uint8_t entry_value() const { return static_cast<uint8_t>(low_); }

    // The terminating bin, the stop bit and the padding.
    void finish() {
        range_ -= 2;
        low_ += range_;
        low_ <<= 7;
        n_low_bits_ += 7;
        take_carry();
        low_ = low_ >> 8 << 1 | 1;
        n_low_bits_ -= 7;
        const unsigned padding = (8 - n_low_bits_ % 8) % 8;
        sink_.put_big_endian(low_ << padding, (n_low_bits_ + padding) / 8);
    }

private:
    void shift(unsigned n) {
        low_ <<= n;
        range_ <<= n;
        n_low_bits_ += n;
        emit();
    }

    void take_carry() {
        if (low_ >> n_low_bits_) {
            sink_.add_carry();
            low_ &= (uint64_t{1} << n_low_bits_) - 1;
        }
    }

    void emit() {
        if (n_low_bits_ < 48) return;
        take_carry();
        n_low_bits_ -= 32;
        sink_.put_big_endian(low_ >> n_low_bits_, 4);
        low_ &= (uint64_t{1} << n_low_bits_) - 1;
    }

    ByteSink& sink_;
    uint64_t low_ = 0;
    uint32_t range_ = 510;
    unsigned n_low_bits_ = 9;  // low < 2^n_low_bits, a pending carry aside
};

class NncDecoder {
public:
    static constexpr bool is_encoder = false;

    NncDecoder(const uint8_t* bytes, size_t n_bytes) : next_(bytes), end_(bytes + n_bytes), n_bytes_(n_bytes) {
        refill();
    }

    bool bit(NncContext& context, bool) {
        const int state = combined_state(context);
        const uint32_t lps = lps_range(range_, state);
        range_ -= lps;
        bool value = state >= 0;
        const uint64_t threshold = uint64_t{range_} << 54;
        if (value_ >= threshold) {
            value_ -= threshold;
            range_ = lps;
            value = !value;
        }
        if (range_ < 256) {
            const unsigned n = static_cast<unsigned>(__builtin_clz(range_)) - 23;
            range_ <<= n;
            consume(n);
        }
        adapt(context, value);
        return value;
    }

    uint32_t bypass(unsigned n_bits, uint32_t) {
        uint32_t value = 0;
        for (unsigned i = 0; i < n_bits; ++i) {
            consume(1);
            const uint64_t threshold = uint64_t{range_} << 54;
            const bool one = value_ >= threshold;
            if (one) value_ -= threshold;
            value = value << 1 | one;
        }
        return value;
    }

    void set_range_256() { range_ = 256; }

    // Whether the terminating bin says that the codeword ends here.
    bool terminates() {
        range_ -= 2;
        return value_ >= uint64_t{range_} << 54;
    }

    // Bits taken so far after the first 16.
    uint64_t n_bits_taken() const { return n_taken_; }
    uint8_t entry_value() const { return static_cast<uint8_t>(value_ >> 54); }

    // Bytes of the codeword, if it ends here.
    size_t n_bytes_used() const { return 2 + static_cast<size_t>(n_taken_ / 8); }
    bool has_overrun() const { return n_bytes_used() > n_bytes_; }

private:
    void consume(unsigned n) {
        if (n_ahead_ < static_cast<int>(n)) refill();
        value_ <<= n;
        n_ahead_ -= static_cast<int>(n);
        n_taken_ += n;
    }

    // value_ holds the window of 16 bits below its top bit, which bypass bins need, and n_ahead_ more behind the window.
    void refill() {
        while (n_ahead_ <= 39) {
            const uint64_t byte = next_ < end_ ? *next_++ : 0;
            value_ |= byte << (39 - n_ahead_);
            n_ahead_ += 8;
        }
    }

    const uint8_t* next_;
    const uint8_t* end_;
    size_t n_bytes_;
    uint64_t value_ = 0;
    uint64_t n_taken_ = 0;
    uint32_t range_ = 510;
    int n_ahead_ = -16;
};

}  // namespace incnnr
