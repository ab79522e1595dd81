#include "quantizer_piece.h"

#include <algorithm>

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

void Piece::load(const NncQuantization& job, size_t first, size_t end) {
    ends_in_state_0 = end < job.height * job.width;
    weights.clear();
    events.clear();
    for_each_run(job, first, end, [&](const ScanRun& run) {
        const bool skipped = is_skipped(job, run.row);
        // The standard's rule: the state moves by the width of the whole row, in every block.
        const size_t n_zeros = skipped && run.begins_segment ? job.width : 0;
        if (run.begins_block_row || n_zeros > 0) events.push_back({weights.size(), run.begins_block_row, n_zeros});
        if (!skipped) weights.insert(weights.end(), job.weights + run.first, job.weights + run.first + run.length);
    });
    n_weights = weights.size();
    weights.resize(n_weights + padding);
    levels.resize(n_weights + padding);
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

}  // namespace incnnr
