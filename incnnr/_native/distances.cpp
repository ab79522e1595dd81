#include "distances.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace incnnr {
namespace {

constexpr size_t most_sampled = 1 << 13;
constexpr size_t most_distance = 1024;
constexpr size_t shortest = 4;    // the nearer ones are looked at anyway
constexpr double certain = 24;    // times what chance leaves
constexpr double clearly_better = 2;

struct Pairs {
    uint64_t all = 0, unequal = 0;
};

// Bits of `matters` that are set at both ends of `distance`, and how many of those differ in `negative`.
[[gnu::always_inline]] inline Pairs count_pairs(const uint64_t* matters, const uint64_t* negative, size_t n_words, size_t distance) {
    const size_t words = distance / 64;
    const unsigned bits = distance % 64;
    const auto shifted = [&](const uint64_t* from) { return from[words] >> bits | from[words + 1] << 1 << (63 - bits); };
    Pairs pairs;
    for (size_t i = 0; i + words + 1 < n_words; ++i) {
        const uint64_t both = matters[i] & shifted(matters + i);
        pairs.all += static_cast<uint64_t>(__builtin_popcountll(both));
        pairs.unequal += static_cast<uint64_t>(__builtin_popcountll(both & (negative[i] ^ shifted(negative + i))));
    }
    return pairs;
}

using CountPairs = Pairs (*)(const uint64_t*, const uint64_t*, size_t, size_t);
Pairs count_pairs_anywhere(const uint64_t* matters, const uint64_t* negative, size_t n_words, size_t distance) {
    return count_pairs(matters, negative, n_words, distance);
}

#if defined(__x86_64__)
[[gnu::target("popcnt")]] Pairs count_pairs_by_instruction(const uint64_t* matters, const uint64_t* negative, size_t n_words, size_t distance) {
    return count_pairs(matters, negative, n_words, distance);
}
CountPairs count_pairs_here() { return __builtin_cpu_supports("popcnt") ? count_pairs_by_instruction : count_pairs_anywhere; }
#else
CountPairs count_pairs_here() { return count_pairs_anywhere; }
#endif

// One bit for each weight: whether it is large enough to have a sign that matters, and whether that is negative.
class Signs {
public:
    template <class Real>
    Signs(const Real* rests, size_t n) : matters_(n / 64 + 2), negative_(n / 64 + 2), n_(n) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += std::isfinite(rests[i]) ? std::fabs(static_cast<double>(rests[i])) : 0;
        const auto least = static_cast<Real>(sum / static_cast<double>(2 * n));
        for (size_t i = 0; i < n; ++i) {
            matters_[i / 64] |= uint64_t{std::fabs(rests[i]) > least} << (i % 64);
            negative_[i / 64] |= uint64_t{rests[i] < 0} << (i % 64);
        }
    }

    // How much more often than not they are equal so far apart, or the other way round; the square, in units of chance.
    double likeness(size_t distance) const {
        if (distance == 0 || distance >= n_) return 0;
        const Pairs pairs = count_pairs_(matters_.data(), negative_.data(), matters_.size(), distance);
        const double surplus = static_cast<double>(pairs.all) - 2 * static_cast<double>(pairs.unequal);
        return surplus * surplus / static_cast<double>(std::max<uint64_t>(pairs.all, 1));
    }

private:
    std::vector<uint64_t> matters_, negative_;
    CountPairs count_pairs_ = count_pairs_here();
    size_t n_;
};

struct Candidate {
    double likeness;
    size_t distance;
    bool operator<(const Candidate& other) const { return likeness > other.likeness; }
};

}  // namespace

template <class Real>
Distances choose_distances(const Real* rests, size_t n_weights, size_t width, const Distances& known) {
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

template Distances choose_distances(const float*, size_t, size_t, const Distances&);
template Distances choose_distances(const double*, size_t, size_t, const Distances&);

}  // namespace incnnr
