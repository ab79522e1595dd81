// The binary arithmetic coder of profile incnnr: a range coder with 64-bit registers that emits 32 bits at a time.
//
// The interval is [low, low + range) with range >= 2^32 between decisions, so a 22-bit probability never rounds to an
// empty interval. A zero takes the lower part. The end of the codeword is cut as short as the interval allows and the
// decoder reads zeros behind it.
#pragma once

#include <cstdlib>
#include <cstring>

#include "context_model.h"

namespace incnnr {

// Growing output; after a failed allocation it drops what is written and says so.
class ByteSink {
public:
    ByteSink() = default;
    ByteSink(const ByteSink&) = delete;
    ByteSink& operator=(const ByteSink&) = delete;
    ~ByteSink() { std::free(data_); }

    bool reserve(size_t n_bytes) {
        if (size_ + n_bytes <= capacity_) return true;
        const size_t capacity = std::max(2 * capacity_, size_ + n_bytes + 256);
        auto* grown = static_cast<uint8_t*>(std::realloc(data_, capacity));
        if (grown == nullptr) return failed_ = true, false;
        data_ = grown;
        capacity_ = capacity;
        return true;
    }

    void put_big_endian(uint64_t value, unsigned n_bytes) {
        if (!reserve(n_bytes)) return;
        for (unsigned i = n_bytes; i-- > 0;) data_[size_++] = static_cast<uint8_t>(value >> (8 * i));
    }

    void put_little_endian(uint64_t value, unsigned n_bytes) {
        if (n_bytes == 0 || !reserve(n_bytes)) return;
        uint8_t bytes[8];
        for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
        std::memcpy(data_ + size_, bytes, n_bytes);
        size_ += n_bytes;
    }

    void put(const ByteSink& other) {
        if (other.size_ == 0 || !reserve(other.size_)) return;
        std::memcpy(data_ + size_, other.data_, other.size_);
        size_ += other.size_;
    }

    void add_carry() {
        for (size_t i = size_; i-- > 0;)
            if (++data_[i] != 0) return;
    }

    void drop_trailing_zeros() {
        while (size_ > 0 && data_[size_ - 1] == 0) --size_;
    }

    bool failed() const { return failed_; }
    size_t size() const { return size_; }
    const uint8_t* data() const { return data_; }
    uint8_t* release() {
        uint8_t* data = data_;
        data_ = nullptr;
        return data;
    }

private:
    uint8_t* data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
    bool failed_ = false;
};

// Encoder and Decoder share one interface, so that each syntax is written once: the encoder codes the value it is given
// and returns it, the decoder ignores it and returns the one it finds.
class Encoder {
public:
    static constexpr bool is_encoder = true;

    explicit Encoder(ByteSink& sink) : sink_(&sink) {}

    template <class R>
    [[gnu::always_inline]] bool bit(Context& context, bool value) {
        const uint64_t bound = range_ - (range_ >> probability_bits) * probability_of_one(context);
        if (value) {
            advance(bound);
            range_ -= bound;
        } else {
            range_ = bound;
        }
        renormalize();
        adapt<R>(context, value);
        return value;
    }

    // The same for bits that are hard to guess: without branches.
    template <class R>
    [[gnu::always_inline]] bool even_bit(Context& context, bool value) {
        fixed_bit(probability_of_one(context), value);
        adapt<R>(context, value);
        return value;
    }

    // And with a probability that does not adapt, in units of 2^-22.
    [[gnu::always_inline]] bool fixed_bit(uint32_t probability, bool value) {
        const uint64_t bound = range_ - (range_ >> probability_bits) * probability;
        const uint64_t mask = 0 - uint64_t{value};
        advance(bound & mask);
        range_ = bound + ((range_ - 2 * bound) & mask);
        renormalize();
        return value;
    }

    // n_bits equally likely bits, most significant first.
    uint64_t bypass(unsigned n_bits, uint64_t value) {
        for (unsigned left = n_bits; left > 0;) {
            const unsigned n = std::min(left, 16u);
            left -= n;
            range_ >>= n;
            advance(range_ * ((value >> left) & ((uint64_t{1} << n) - 1)));
            renormalize();
        }
        return value;
    }

    // A symbol that takes [low, low + size) of [0, total), total <= 2^24, size > 0.
    void interval(uint32_t low, uint32_t size, uint32_t total) {
        const uint64_t unit = range_ / total;
        advance(unit * low);
        range_ = low + size == total ? range_ - unit * low : unit * size;
        renormalize();
    }

    void finish() {
        for (unsigned n_bytes = 0; n_bytes <= 8; ++n_bytes) {
            const uint64_t below = n_bytes == 8 ? 0 : ~uint64_t{0} >> (8 * n_bytes);
            const uint64_t step = (0 - low_) & below;  // to the next multiple of below + 1
            if (step >= range_) continue;
            advance(step);
            if (n_bytes > 0) sink_->put_big_endian(low_ >> (64 - 8 * n_bytes), n_bytes);
            break;
        }
        sink_->drop_trailing_zeros();
    }

private:
    void advance(uint64_t distance) {
        low_ += distance;
        if (low_ < distance) sink_->add_carry();
    }

    void renormalize() {
        if (range_ >> 32) return;
        sink_->put_big_endian(low_ >> 32, 4);
        low_ <<= 32;
        range_ <<= 32;
    }

    ByteSink* sink_;
    uint64_t low_ = 0;
    uint64_t range_ = ~uint64_t{0};
};

class Decoder {
public:
    static constexpr bool is_encoder = false;

    Decoder(const uint8_t* bytes, size_t n_bytes) : next_(bytes), end_(bytes + n_bytes) {
        value_ = take_word() << 32;
        value_ |= take_word();
    }

    template <class R>
    [[gnu::always_inline]] bool bit(Context& context, bool) {
        const uint64_t bound = range_ - (range_ >> probability_bits) * probability_of_one(context);
        const bool value = value_ >= bound;
        if (value) {
            value_ -= bound;
            range_ -= bound;
        } else {
            range_ = bound;
        }
        renormalize();
        adapt<R>(context, value);
        return value;
    }

    template <class R>
    [[gnu::always_inline]] bool even_bit(Context& context, bool) {
        const bool value = fixed_bit(probability_of_one(context), false);
        adapt<R>(context, value);
        return value;
    }

    [[gnu::always_inline]] bool fixed_bit(uint32_t probability, bool) {
        const uint64_t bound = range_ - (range_ >> probability_bits) * probability;
        const bool value = value_ >= bound;
        const uint64_t mask = 0 - uint64_t{value};
        value_ -= bound & mask;
        range_ = bound + ((range_ - 2 * bound) & mask);
        renormalize();
        return value;
    }

    uint64_t bypass(unsigned n_bits, uint64_t) {
        uint64_t value = 0;
        for (unsigned left = n_bits; left > 0;) {
            const unsigned n = std::min(left, 16u);
            left -= n;
            range_ >>= n;
            const uint64_t part = std::min(value_ / range_, (uint64_t{1} << n) - 1);
            value_ -= part * range_;
            value = value << n | part;
            renormalize();
        }
        return value;
    }

    // A number in the interval of the next symbol, which interval() then takes.
    uint32_t target(uint32_t total) {
        unit_ = range_ / total;
        return static_cast<uint32_t>(std::min<uint64_t>(value_ / unit_, total - 1));
    }

    void interval(uint32_t low, uint32_t size, uint32_t total) {
        const uint64_t unit = unit_;
        value_ -= unit * low;
        range_ = low + size == total ? range_ - unit * low : unit * size;
        renormalize();
    }

    // A codeword is used up when its last byte has been looked at: more bytes than that came from nowhere.
    Status finish() const { return next_ == end_ ? Status::ok : Status::corrupt; }

private:
    uint64_t take_word() {
        uint32_t word = 0;
        if (end_ - next_ >= 4) {
            for (int i = 0; i < 4; ++i) word = word << 8 | next_[i];
            next_ += 4;
        } else {
            for (int i = 0; i < 4; ++i) word = word << 8 | (next_ < end_ ? *next_++ : 0u);
        }
        return word;
    }

    void renormalize() {
        if (range_ >> 32) return;
        value_ = value_ << 32 | take_word();
        range_ <<= 32;
    }

    const uint8_t* next_;
    const uint8_t* end_;
    uint64_t value_;
    uint64_t range_ = ~uint64_t{0};
    uint64_t unit_ = 0;  // of the symbol that target() looked at
};

}  // namespace incnnr
