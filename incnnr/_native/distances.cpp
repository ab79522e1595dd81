#include "distances.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace incnnr {
namespace {

constexpr size_t most_sampled = 1 << 14;
constexpr size_t most_distance = 1024;
constexpr size_t shortest = 4;    // the nearer ones are looked at anyway
constexpr double certain = 24;    // times what chance leaves
constexpr double clearly_better = 2;

unsigned count_ones(uint64_t word) { return static_cast<unsigned>(__builtin_popcountll(word)); }

// One bit for each weight: whether it is large enough to have a sign that matters, and whether that is negative.
class Signs {
public:
    Signs(const float* rests, size_t n) : matters_(n / 64 + 2), negative_(n / 64 + 2), n_(n) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += std::isfinite(rests[i]) ? std::fabs(static_cast<double>(rests[i])) : 0;
        const auto least = static_cast<float>(sum / static_cast<double>(2 * n));
        for (size_t i = 0; i < n; ++i) {
            matters_[i / 64] |= uint64_t{std::fabs(rests[i]) > least} << (i % 64);
            negative_[i / 64] |= uint64_t{rests[i] < 0} << (i % 64);
        }
    }

    // How much more often than not they are equal so far apart, or the other way round; the square, in units of chance.
    double likeness(size_t distance) const {
        if (distance == 0 || distance >= n_) return 0;
        uint64_t pairs = 0, unequal = 0;
        const size_t words = distance / 64;
        const unsigned bits = distance % 64;
        for (size_t i = 0; i + words + 1 < matters_.size(); ++i) {
            const uint64_t both = matters_[i] & shifted(matters_, i + words, bits);
            pairs += count_ones(both);
            unequal += count_ones(both & (negative_[i] ^ shifted(negative_, i + words, bits)));
        }
        const double surplus = static_cast<double>(pairs) - 2 * static_cast<double>(unequal);
        return surplus * surplus / static_cast<double>(std::max<uint64_t>(pairs, 1));
    }

private:
    static uint64_t shifted(const std::vector<uint64_t>& words, size_t i, unsigned bits) {
        return bits == 0 ? words[i] : words[i] >> bits | words[i + 1] << (64 - bits);
    }

    std::vector<uint64_t> matters_, negative_;
    size_t n_;
};

struct Candidate {
    double likeness;
    size_t distance;
    bool operator<(const Candidate& other) const { return likeness > other.likeness; }
};

}  // namespace

Distances choose_distances(const float* rests, size_t n_weights, size_t width, const Distances& known) {
    const size_t n = std::min(n_weights / 4, most_sampled);
    const size_t most = std::min(n_weights / 64, most_distance);
    if (most < shortest) return known;
    const Signs signs(rests, n);
    std::array<Candidate, n_distances> best{};
    for (size_t distance = shortest; distance <= most; ++distance) {
        const double likeness = signs.likeness(distance);
        if (distance == width || likeness < certain || likeness <= best.back().likeness) continue;
        best.back() = {likeness, distance};
        std::sort(best.begin(), best.end());
    }
    Distances found{};
    double gain = 0, known_gain = 0;
    for (size_t k = 0; k < n_distances; ++k) {
        found[k] = static_cast<uint16_t>(best[k].distance);
        gain += best[k].likeness;
        known_gain += signs.likeness(known[k]);
    }
    return gain > clearly_better * known_gain ? found : known;
}

}  // namespace incnnr
