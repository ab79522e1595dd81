#include "quantizer_piece.h"

#include <algorithm>
#include <cmath>

namespace incnnr {
namespace {

bool is_skipped(const NncQuantization& job, size_t row) { return job.skipped_rows && job.skipped_rows[row]; }

// Rows matter only to blocks and to skipping: without either, the matrix is one long row.
Scan scan_of(const NncQuantization& job) {
    if (job.block_size == 0 && !job.skipped_rows) return Scan(1, job.height * job.width, 0);
    return Scan(job.height, job.width, job.block_size);
}

// Calls visit(run) for the runs of positions `first` to `end`.
template <class Visit>
void for_each_run(const NncQuantization& job, size_t first, size_t end, Visit visit) {
    const Scan scan = scan_of(job);
    for (size_t position = first; position < end;) {
        ScanRun run = scan.at(position);
        run.length = std::min(run.length, end - position);
        visit(run);
        position += run.length;
    }
}

}  // namespace

void Piece::load(const NncQuantization& job, size_t first, size_t end, size_t horizon) {
    weights.clear();
    gaps.assign(1, 0);
    append(job, first, end);
    n_kept = weights.size();
    kept_zeros = gaps.back() & gap::zeros;
    append(job, end, horizon);
    n_weights = weights.size();
    weights.resize(n_weights + padding);
    levels.resize(n_weights + padding);
}

void Piece::append(const NncQuantization& job, size_t first, size_t end) {
    for_each_run(job, first, end, [&](const ScanRun& run) {
        const bool skipped = is_skipped(job, run.row);
        uint8_t& before = gaps.back();
        if (run.begins_block_row) before |= gap::begins_block_row;
        // The standard's rule: the state moves by the width of the whole row, in every block.
        if (skipped && run.begins_segment) before = static_cast<uint8_t>((before & ~gap::zeros) | ((before + job.width) & gap::zeros));
        if (skipped) return;
        weights.insert(weights.end(), job.weights + run.first, job.weights + run.first + run.length);
        gaps.resize(weights.size() + 1);
    });
}

void Piece::store_levels(const NncQuantization& job, size_t first, size_t end) const {
    const int32_t* next = levels.data();
    for_each_run(job, first, end, [&](const ScanRun& run) {
        int32_t* to = job.levels + run.first;
        if (is_skipped(job, run.row)) {
            std::fill_n(to, run.length, 0);
        } else {
            std::copy_n(next, run.length, to);
            next += run.length;
        }
    });
}

void Magnitudes::load(const float* weights, size_t n_weights, double inverse_step) {
    constexpr double rounder = 0x1.8p54;  // sums with it have units of 4 in their last place
    bases.resize(n_weights + padding);
    fractions.resize(n_weights + padding);
    for (size_t i = 0; i < n_weights; ++i) {
        const double scaled = std::fabs(static_cast<double>(weights[i])) * inverse_step;
        const double base = (scaled + rounder) - rounder;
        bases[i] = static_cast<int32_t>(base);
        fractions[i] = static_cast<float>(scaled - base);
    }
}

}  // namespace incnnr
