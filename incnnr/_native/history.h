// What each element of a slice did in the updates before: four bits, with what has been learned for each such past.
#pragma once

#include "change_rates.h"
#include "context_model.h"
#include "odds.h"

namespace incnnr {

// A past is 0 if no change was seen, else 1 + direction + 2 * age: direction 1 is upwards, age counts updates of the
// slice since, up to 6.
struct History {
    ChangeRates<n_pasts * n_buckets> rates;
    Context changed[n_pasts * n_buckets];
    Context negative[n_pasts * n_buckets];
    Odds falls[n_pasts * n_buckets];
    uint8_t pasts[1];  // really (n_elements + 1) / 2 of them, the earlier element in the low half

    static size_t n_bytes(size_t n_elements) { return offsetof(History, pasts) + (n_elements + 1) / 2; }

    void reset(size_t n_elements) {
        rates.reset();
        for (Context* c = changed; c != negative + n_pasts * n_buckets; ++c) *c = fresh_context();
        std::fill_n(falls, n_pasts * n_buckets, even_odds);
        std::fill_n(pasts_at(0), (n_elements + 1) / 2, uint8_t{0});
    }

    uint8_t* pasts_at(size_t element) { return reinterpret_cast<uint8_t*>(this) + offsetof(History, pasts) + element / 2; }
};

class Pasts {
public:
    static void grow_older(uint8_t* pasts, size_t n_elements) {
        for (size_t i = 0; i < (n_elements + 1) / 2; ++i) {
            const uint8_t byte = pasts[i];
            pasts[i] = static_cast<uint8_t>(byte + older(byte & 15) + 16 * older(byte >> 4));
        }
    }

    static void set_changed(uint8_t* pasts, size_t i, bool upwards) {
        const unsigned shift = 4 * (i % 2);
        pasts[i / 2] = static_cast<uint8_t>((pasts[i / 2] & ~(15u << shift)) | (1u + upwards) << shift);
    }

private:
    static unsigned older(unsigned past) { return past - 1 < 12 ? 2 : 0; }
};

}  // namespace incnnr
