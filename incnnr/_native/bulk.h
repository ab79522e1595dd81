// Bits that no model helps with, beside the arithmetic codeword: packed from the lowest bit up, at the speed of memory.
#pragma once

#include "engine.h"

namespace incnnr {

constexpr uint64_t low_bits_of(uint64_t value, unsigned n_bits) { return n_bits >= 64 ? value : value & ((uint64_t{1} << n_bits) - 1); }

// Sizes: groups of seven bits, least significant first; the top bit of a byte says that another one follows.
constexpr size_t most_varint_bytes = 10;

inline void put_varint(ByteSink& sink, uint64_t value) {
    for (; value > 127; value >>= 7) sink.put_little_endian(value | 128, 1);
    sink.put_little_endian(value, 1);
}

inline bool take_varint(const uint8_t*& next, const uint8_t* end, uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && next != end; shift += 7) {
        const uint8_t byte = *next++;
        value |= uint64_t{byte & 127u} << shift;
        if (byte < 128) return true;
    }
    return false;
}

// BulkEncoder and BulkDecoder share one interface, as Encoder and Decoder do.
class BulkEncoder {
public:
    explicit BulkEncoder(ByteSink& sink) : sink_(sink) {}

    // value has no bits above n_bits <= 64.
    uint64_t bits(unsigned n_bits, uint64_t value) {
        pending_ |= value << n_pending_;
        if (n_pending_ + n_bits < 64) {
            n_pending_ += n_bits;
            return value;
        }
        sink_.put_little_endian(pending_, 8);
        const unsigned n_written = 64 - n_pending_;
        pending_ = n_written < 64 ? value >> n_written : 0;
        n_pending_ = n_bits - n_written;
        return value;
    }

    void finish() { sink_.put_little_endian(pending_, (n_pending_ + 7) / 8); }

private:
    ByteSink& sink_;
    uint64_t pending_ = 0;
    unsigned n_pending_ = 0;  // below 64
};

// Behind the end there are zeros, which finish() complains about.
class BulkDecoder {
public:
    BulkDecoder(const uint8_t* bytes, size_t n_bytes) : next_(bytes), end_(bytes + n_bytes) {}

    uint64_t bits(unsigned n_bits, uint64_t) {
        uint64_t value = pending_;
        unsigned n_taken = n_pending_;
        if (n_taken < n_bits) {
            pending_ = take_word();
            value |= pending_ << n_taken;
            n_pending_ = 64;
        } else {
            n_taken = 0;
        }
        const unsigned n_used = n_bits - n_taken;
        pending_ = n_used < 64 ? pending_ >> n_used : 0;
        n_pending_ -= n_used;
        return low_bits_of(value, n_bits);
    }

    Status finish() const { return next_ == end_ && !ran_out_ && n_pending_ - n_padding_ < 8 ? Status::ok : Status::corrupt; }

private:
    uint64_t take_word() {
        const size_t n = std::min<size_t>(8, static_cast<size_t>(end_ - next_));
        uint8_t bytes[8] = {};
        std::memcpy(bytes, next_, n);
        next_ += n;
        uint64_t word = 0;
        for (unsigned i = 0; i < 8; ++i) word |= uint64_t{bytes[i]} << (8 * i);
        n_padding_ = 64 - 8 * static_cast<unsigned>(n);
        ran_out_ |= n == 0;
        return word;
    }

    const uint8_t* next_;
    const uint8_t* end_;
    uint64_t pending_ = 0;
    unsigned n_pending_ = 0;  // below 64 between calls
    unsigned n_padding_ = 0;  // of the last word
    bool ran_out_ = false;
};

}  // namespace incnnr
