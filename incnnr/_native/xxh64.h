// XXH64 from its public specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace incnnr {

// Whole stripes of 32 bytes at a time, then the rest.
class Xxh64 {
public:
    static constexpr size_t stripe_bytes = 32;

    explicit Xxh64(uint64_t seed) : lanes_{seed + p1 + p2, seed + p2, seed, seed - p1}, seed_(seed) {}

    static uint64_t hash(const uint8_t* data, size_t n_bytes, uint64_t seed) {
        Xxh64 state(seed);
        const size_t n_whole = n_bytes - n_bytes % stripe_bytes;
        state.add_stripes(data, n_whole);
        return state.finish(data + n_whole, n_bytes % stripe_bytes);
    }

    void add_stripes(const uint8_t* data, size_t n_bytes) {
        uint64_t lanes[4] = {lanes_[0], lanes_[1], lanes_[2], lanes_[3]};
        for (size_t left = n_bytes; left >= stripe_bytes; left -= stripe_bytes, data += stripe_bytes)
            for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], word64(data + 8 * i));
        for (int i = 0; i < 4; ++i) lanes_[i] = lanes[i];
        n_bytes_ += n_bytes;
    }

    uint64_t finish(const uint8_t* data, size_t n_bytes) const {
        const uint8_t* const end = data + n_bytes;
        uint64_t h = n_bytes_ > 0 ? merged() : seed_ + p5;
        h += n_bytes_ + n_bytes;
        for (; end - data >= 8; data += 8) h = rotate(h ^ round(0, word64(data)), 27) * p1 + p4;
        if (end - data >= 4) {
            h = rotate(h ^ word32(data) * p1, 23) * p2 + p3;
            data += 4;
        }
        for (; data < end; ++data) h = rotate(h ^ *data * p5, 11) * p1;
        h = (h ^ h >> 33) * p2;
        h = (h ^ h >> 29) * p3;
        return h ^ h >> 32;
    }

private:
    static constexpr uint64_t p1 = 0x9E3779B185EBCA87u;
    static constexpr uint64_t p2 = 0xC2B2AE3D27D4EB4Fu;
    static constexpr uint64_t p3 = 0x165667B19E3779F9u;
    static constexpr uint64_t p4 = 0x85EBCA77C2B2AE63u;
    static constexpr uint64_t p5 = 0x27D4EB2F165667C5u;

    static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }
    static uint64_t round(uint64_t lane, uint64_t input) { return rotate(lane + input * p2, 31) * p1; }

    static uint64_t word64(const uint8_t* p) {
        uint64_t w;
        std::memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        return w;
    }

    static uint64_t word32(const uint8_t* p) {
        uint32_t w;
        std::memcpy(&w, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap32(w);
#endif
        return w;
    }

    uint64_t merged() const {
        uint64_t h = rotate(lanes_[0], 1) + rotate(lanes_[1], 7) + rotate(lanes_[2], 12) + rotate(lanes_[3], 18);
        for (uint64_t lane : lanes_) h = (h ^ round(0, lane)) * p1 + p4;
        return h;
    }

    uint64_t lanes_[4];
    uint64_t seed_;
    uint64_t n_bytes_ = 0;
};

}  // namespace incnnr
