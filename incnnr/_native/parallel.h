// Work spread over threads that end with the call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cstddef>
#include <thread>

namespace incnnr {

// The default rounding, subnormals included, whatever the caller's thread is set to: weights depend on it.
class DefaultFloatEnvironment {
public:
    DefaultFloatEnvironment() {
        std::fegetenv(&callers_);
        std::fesetenv(FE_DFL_ENV);
    }
    DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
    DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;
    ~DefaultFloatEnvironment() { std::fesetenv(&callers_); }

private:
    std::fenv_t callers_;
};

// Runs work(0, own) .. work(n_items - 1, own), each once, on up to n_threads threads that each have an `own`. Where the
// system gives no more threads, the calling one does the work.
template <class Own, class Work>
void in_parallel_with(size_t n_items, unsigned n_threads, Work work) {
    std::atomic<size_t> next{0};
    const auto run = [&] {
        const DefaultFloatEnvironment environment;
        Own own;
        for (size_t i = next++; i < n_items; i = next++) work(i, own);
    };
    constexpr unsigned most_threads = 64;
    std::thread threads[most_threads];
    const size_t n_extra = std::min<size_t>({n_threads, n_items, most_threads}) - (n_items > 0 && n_threads > 0);
    size_t n_started = 0;
    for (; n_started < n_extra; ++n_started) {
        try {
            threads[n_started] = std::thread(run);
        } catch (...) {
            break;
        }
    }
    run();
    for (size_t i = 0; i < n_started; ++i) threads[i].join();
}

template <class Work>
void in_parallel(size_t n_items, unsigned n_threads, Work work) {
    struct Nothing {};
    in_parallel_with<Nothing>(n_items, n_threads, [&](size_t i, Nothing&) { work(i); });
}

}  // namespace incnnr
