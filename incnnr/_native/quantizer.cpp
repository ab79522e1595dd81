#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "core.h"
#include "dependent.h"
#include "parallel.h"
#include "quantizer_piece.h"
#include "rated_dependent.h"
#include "rated_uniform.h"

namespace incnnr {
namespace {

// Matrices are quantized piece by piece. A dependent quantizer looks that far behind a piece to find the state that the
// next one begins in. Stretches of pieces are quantized on their own: the ways through the trellis begin and end in state 0.
constexpr size_t piece_weights = 1 << 16;
constexpr size_t weights_ahead = 1 << 12;
constexpr size_t stretch_weights = 1 << 22;

// Up to here levels, the neighbours of the nearest included, are below 2^31. False for NaN.
bool is_in_range(double scaled) { return std::fabs(scaled) <= 2147483640.0; }

bool is_in_range(const std::vector<float>& weights, double inverse_step) {
    bool all = true;
    for (float weight : weights) all &= is_in_range(static_cast<double>(weight) * inverse_step);
    return all;
}

// Half away from zero, of a product in float32.
void quantize_uniformly(Piece& piece, float inverse_step) {
    constexpr float below_2_to_31 = 2147483520.0f;  // where the rounding of product and reciprocal may lead
    for (size_t i = 0; i < piece.n_weights; ++i) {
        const float magnitude = std::fabs(piece.weights[i] * inverse_step);
        const double scaled = static_cast<double>(magnitude < below_2_to_31 ? magnitude : below_2_to_31);
        const auto level = static_cast<int32_t>(scaled + 0.5);
        piece.levels[i] = piece.weights[i] < 0 ? -level : level;
    }
}

// What a thread needs for one stretch after the other.
struct Worker {
    Piece piece;
    DependentQuantizer dependent;
    DependentWays dependent_ways;
    UniformWays uniform_ways;

    bool quantize_stretch(const NncQuantization& job, size_t first, size_t end);

private:
    void quantize_piece(const NncQuantization& job, double inverse_step);
};

bool Worker::quantize_stretch(const NncQuantization& job, size_t first, size_t end) {
    const size_t n = job.height * job.width;
    const double inverse_step = 1.0 / static_cast<double>(job.step_size);
    piece.end_state = 0;
    for (size_t from = first; from < end; from += piece_weights) {
        const size_t to = std::min(end, from + piece_weights);
        piece.load(job, from, to, job.dependent ? std::min(end, to + weights_ahead) : to);
        if (!is_in_range(piece.weights, inverse_step)) return false;
        piece.start_state = piece.end_state;
        piece.ends_in_state_0 = job.dependent && to == end && end < n;
        quantize_piece(job, inverse_step);
        piece.store_levels(job, from, to);
    }
    return true;
}

void Worker::quantize_piece(const NncQuantization& job, double inverse_step) {
    const auto inverse_float = static_cast<float>(inverse_step);
    const RateSettings rate = {static_cast<float>(job.price_of_a_bit), job.n_greater_flags};
    if (!job.dependent) quantize_uniformly(piece, inverse_float);
    if (!job.dependent && job.price_of_a_bit > 0) quantize_uniformly(uniform_ways, piece, inverse_float, rate);
    if (job.dependent && job.price_of_a_bit > 0) quantize_dependently(dependent_ways, piece, inverse_step, rate);
    if (job.dependent && job.price_of_a_bit == 0) dependent.quantize(piece, inverse_step);
}

struct Stretch {
    size_t job;
    size_t first;
    size_t end;
    bool in_range;
    Status status;
};

std::vector<Stretch> cut(const NncQuantization* jobs, size_t n_jobs) {
    std::vector<Stretch> stretches;
    for (size_t j = 0; j < n_jobs; ++j) {
        const size_t n = jobs[j].height * jobs[j].width;
        for (size_t first = 0; first < n; first += stretch_weights)
            stretches.push_back({j, first, std::min(n, first + stretch_weights), true, Status::ok});
    }
    return stretches;
}

void quantize_stretch(const NncQuantization* jobs, Stretch& stretch, Worker& worker) {
    try {
        stretch.in_range = worker.quantize_stretch(jobs[stretch.job], stretch.first, stretch.end);
    } catch (const std::bad_alloc&) {
        stretch.status = Status::out_of_memory;
    }
}

Status quantize_all(NncQuantization* jobs, size_t n_jobs, unsigned n_threads) {
    std::vector<Stretch> stretches = cut(jobs, n_jobs);
    std::vector<Worker> workers(std::min<size_t>(n_threads, stretches.size()));
    std::atomic<size_t> next{0};
    in_parallel(workers.size(), n_threads, [&](size_t w) {
        for (size_t i = next++; i < stretches.size(); i = next++) quantize_stretch(jobs, stretches[i], workers[w]);
    });
    Status status = Status::ok;
    for (const Stretch& stretch : stretches) {
        if (stretch.status == Status::out_of_memory) status = Status::out_of_memory;
        if (!stretch.in_range) jobs[stretch.job].in_range = false;
    }
    return status;
}

}  // namespace

Status quantize_nnc(NncQuantization* jobs, size_t n_jobs, unsigned n_threads) {
    for (size_t j = 0; j < n_jobs; ++j) jobs[j].in_range = true;
    try {
        return quantize_all(jobs, n_jobs, n_threads);
    } catch (const std::bad_alloc&) {
        return Status::out_of_memory;
    }
}

}  // namespace incnnr
