// Python's view of the kernels: checks sizes, keeps arrays alive, releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "core.h"

namespace nb = nanobind;
using incnnr::Status;

namespace {

using ReadOnlyBytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using WritableBytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct BoundSegment {
    incnnr::Segment native{};
    std::vector<nb::object> alive;

    BoundSegment() = default;
    BoundSegment(const BoundSegment&) = delete;
    BoundSegment& operator=(const BoundSegment&) = delete;
    ~BoundSegment() { std::free(native.before); }
};

template <class Array>
auto checked_data(nb::handle array, size_t n_bytes, const char* what, std::vector<nb::object>& alive) -> decltype(std::declval<Array>().data()) {
    if (array.is_none()) return nullptr;
    auto view = nb::cast<Array>(array, false);
    if (view.size() != n_bytes) throw nb::value_error(what);
    alive.push_back(nb::borrow(array));
    return view.data();
}

void check_quantizable(unsigned kind) {
    if (kind < static_cast<unsigned>(incnnr::Kind::float16) || kind >= incnnr::n_kinds) throw nb::value_error("no levels for this kind");
}

void make_segment(BoundSegment* self, unsigned kind, unsigned coding, size_t n_elements, nb::handle result, nb::handle source,
                  nb::handle reference, nb::handle contexts, nb::handle history, nb::handle changed, bool keeps_before,
                  size_t width, unsigned n_means, double step_size, unsigned search, int scale, double max_error, double relative_error) {
    if (kind >= incnnr::n_kinds || coding > 2 || search > 2) throw nb::value_error("no such kind, coding or search");
    if (n_means > incnnr::most_means) throw nb::value_error("no so many means");
    if (coding == static_cast<unsigned>(incnnr::Coding::quantized)) check_quantizable(kind);
    new (self) BoundSegment{};
    incnnr::Segment& s = self->native;
    s.kind = static_cast<incnnr::Kind>(kind);
    s.coding = static_cast<incnnr::Coding>(coding);
    s.n_elements = n_elements;
    const size_t n_bytes = n_elements * incnnr::element_bytes(s.kind);
    s.result = checked_data<WritableBytes>(result, n_bytes, "result has the wrong size", self->alive);
    s.source = checked_data<ReadOnlyBytes>(source, n_bytes, "source has the wrong size", self->alive);
    s.reference = checked_data<ReadOnlyBytes>(reference, n_bytes, "reference has the wrong size", self->alive);
    s.contexts = checked_data<WritableBytes>(contexts, incnnr::contexts_bytes(s.kind, s.coding), "contexts have the wrong size", self->alive);
    s.width = width;
    s.n_means = n_means;
    const size_t history_size = s.coding == incnnr::Coding::quantized ? incnnr::means_bytes(s.kind, n_means, n_elements) : incnnr::history_bytes(n_elements);
    s.history = checked_data<WritableBytes>(history, history_size, "history has the wrong size", self->alive);
    s.changed = checked_data<WritableBytes>(changed, (n_elements + 7) / 8, "changed has the wrong size", self->alive);
    s.keeps_before = keeps_before;
    if (keeps_before && (s.changed == nullptr || s.coding != incnnr::Coding::inter)) throw nb::value_error("nothing says what to keep");
    s.step_size = step_size;
    s.search = static_cast<incnnr::Search>(search);
    s.scale = scale;
    s.max_error = max_error;
    s.relative_error = relative_error;
    if (s.coding == incnnr::Coding::inter && s.reference == nullptr) throw nb::value_error("inter coding needs a reference");
    if (s.coding != incnnr::Coding::intra && s.result != nullptr && s.contexts == nullptr) throw nb::value_error("contexts are missing");
    if (s.coding == incnnr::Coding::quantized && s.result != nullptr && n_means > 0 && s.history == nullptr) throw nb::value_error("means are missing");
}

using Codewords = std::vector<std::vector<BoundSegment*>>;

// The kernels' plain arrays, and their way back into the Python objects.
struct Batch {
    std::vector<incnnr::Segment> segments;
    std::vector<incnnr::Codeword> codewords;

    explicit Batch(const Codewords& bound) {
        for (const auto& codeword : bound)
            for (const BoundSegment* segment : codeword) {
                if (segment->native.result == nullptr) throw nb::value_error("a segment has no result array");
                segments.push_back(segment->native);
            }
        size_t first = 0;
        for (const auto& codeword : bound) {
            codewords.push_back({segments.data() + first, codeword.size(), nullptr, 0, Status::ok});
            first += codeword.size();
        }
    }

    void copy_back(const Codewords& bound) const {
        auto from = segments.begin();
        for (const auto& codeword : bound)
            for (BoundSegment* segment : codeword) {
                if (segment->native.before != from->before) std::free(segment->native.before);
                segment->native = *from++;
            }
    }
};

void raise_unless_ok(Status status) {
    if (status == Status::out_of_memory) throw std::bad_alloc();
    if (status == Status::corrupt) throw nb::value_error("corrupt codeword");
    if (status == Status::invalid) throw nb::value_error("levels that cannot be coded as the layer says");
}

// Python's copy of bytes that a kernel allocated, which are released also if there is no memory for the copy.
nb::bytes taken(uint8_t* bytes, size_t n_bytes) {
    const std::unique_ptr<uint8_t, decltype(&std::free)> owned(bytes, &std::free);
    return nb::bytes(bytes, n_bytes);
}

std::vector<nb::bytes> encode(const Codewords& bound, unsigned threads) {
    Batch batch(bound);
    for (const auto& segment : batch.segments)
        if (segment.source == nullptr) throw nb::value_error("a segment has no source array");
    Status status;
    {
        nb::gil_scoped_release unlocked;
        status = incnnr::encode_codewords(batch.codewords.data(), batch.codewords.size(), threads);
    }
    std::vector<nb::bytes> coded;
    for (auto& codeword : batch.codewords) {
        if (status == Status::ok) {
            coded.push_back(taken(codeword.bytes, codeword.n_bytes));
        } else {
            std::free(codeword.bytes);
        }
    }
    raise_unless_ok(status);
    batch.copy_back(bound);
    return coded;
}

void decode(const Codewords& bound, const std::vector<ReadOnlyBytes>& coded, unsigned threads) {
    Batch batch(bound);
    if (coded.size() != bound.size()) throw nb::value_error("as many byte strings as codewords are needed");
    for (size_t i = 0; i < coded.size(); ++i) {
        batch.codewords[i].bytes = const_cast<uint8_t*>(coded[i].data());  // decoding only reads
        batch.codewords[i].n_bytes = coded[i].size();
    }
    Status status;
    {
        nb::gil_scoped_release unlocked;
        status = incnnr::decode_codewords(batch.codewords.data(), batch.codewords.size(), threads);
    }
    batch.copy_back(bound);  // in any case: what was there before can be put back
    raise_unless_ok(status);
}

std::vector<bool> find_changed(const std::vector<BoundSegment*>& bound, unsigned threads) {
    std::vector<incnnr::Segment> segments;
    for (const BoundSegment* segment : bound) {
        if (segment->native.source == nullptr) throw nb::value_error("a segment has no source array");
        segments.push_back(segment->native);
    }
    const auto changed = std::make_unique<bool[]>(segments.size());
    {
        nb::gil_scoped_release unlocked;
        incnnr::find_changed(segments.data(), segments.size(), changed.get(), threads);
    }
    for (size_t i = 0; i < segments.size(); ++i) {
        bound[i]->native.largest_error = segments[i].largest_error;
        bound[i]->native.squared_error = segments[i].squared_error;
    }
    return std::vector<bool>(changed.get(), changed.get() + segments.size());
}

incnnr::Context* contexts_in(WritableBytes& contexts, ReadOnlyBytes& last_flags) {
    const size_t n_contexts = contexts.size() / sizeof(incnnr::Context);
    for (size_t i = 0; i < last_flags.size(); ++i)
        if (2 * size_t{last_flags.data()[i]} + 1 >= n_contexts) throw nb::value_error("no such context");
    return reinterpret_cast<incnnr::Context*>(contexts.data());
}

nb::bytes encode_flags(ReadOnlyBytes flags, ReadOnlyBytes last_flags, WritableBytes contexts) {
    if (flags.size() != last_flags.size()) throw nb::value_error("one context per flag is needed");
    uint8_t* bytes = nullptr;
    size_t n_bytes = 0;
    raise_unless_ok(incnnr::encode_flags(flags.data(), last_flags.data(), flags.size(), contexts_in(contexts, last_flags), &bytes, &n_bytes));
    return taken(bytes, n_bytes);
}

void decode_flags(ReadOnlyBytes coded, WritableBytes flags, ReadOnlyBytes last_flags, WritableBytes contexts) {
    if (flags.size() != last_flags.size()) throw nb::value_error("one context per flag is needed");
    raise_unless_ok(incnnr::decode_flags(coded.data(), coded.size(), last_flags.data(), flags.size(), contexts_in(contexts, last_flags), flags.data()));
}

size_t contexts_bytes(unsigned kind, unsigned coding) {
    if (kind >= incnnr::n_kinds || coding > 2) throw nb::value_error("no such kind or coding");
    return incnnr::contexts_bytes(static_cast<incnnr::Kind>(kind), static_cast<incnnr::Coding>(coding));
}

void reset_slice_contexts(unsigned kind, unsigned coding, WritableBytes contexts) {
    if (contexts.size() != contexts_bytes(kind, coding)) throw nb::value_error("contexts have the wrong size");
    incnnr::reset_contexts(static_cast<incnnr::Kind>(kind), static_cast<incnnr::Coding>(coding), contexts.data());
}

void reset_history(size_t n_elements, WritableBytes history) {
    if (history.size() != incnnr::history_bytes(n_elements)) throw nb::value_error("history has the wrong size");
    incnnr::reset_history(n_elements, history.data());
}

void reset_contexts(WritableBytes contexts) {
    incnnr::reset_contexts(reinterpret_cast<incnnr::Context*>(contexts.data()), contexts.size() / sizeof(incnnr::Context));
}

using Levels = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ReadOnlyLevels = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct BoundLayer {
    incnnr::NncLayer native;
    std::vector<nb::object> alive;
};

void make_layer(BoundLayer* self, nb::handle levels, size_t height, size_t width, unsigned qp_bits, int qp_delta, unsigned block_size,
                unsigned n_greater_flags, unsigned n_remainder_sets, unsigned codebook_size, unsigned zero_offset, bool has_preamble,
                bool has_parent, bool dependent, bool single_row_resets, nb::handle base, nb::handle history, bool history_contexts,
                bool row_skip, nb::handle skipped_rows, const std::vector<uint8_t>& state_sets, bool temporal) {
    if (qp_bits > 16 || block_size > 64 || n_greater_flags < 1 || n_greater_flags > 256 || n_remainder_sets < 31 || n_remainder_sets > 32)
        throw nb::value_error("a layer parameter is out of range");
    if (codebook_size > 0 && zero_offset >= codebook_size) throw nb::value_error("zero_offset is outside the codebook");
    for (uint8_t set : state_sets)
        if (set > 8) throw nb::value_error("there are nine state sets");
    new (self) BoundLayer{};
    incnnr::NncLayer& l = self->native;
    l = {height, width, qp_bits, block_size, n_greater_flags, n_remainder_sets, codebook_size, zero_offset, has_preamble, has_parent, dependent,
         single_row_resets, temporal, nullptr, nullptr, nullptr, qp_delta, history_contexts, row_skip, {}, state_sets, {}};
    l.levels = checked_data<Levels>(levels, height * width, "levels have the wrong size", self->alive);
    l.base = checked_data<ReadOnlyLevels>(base, height * width, "base has the wrong size", self->alive);
    l.history = checked_data<ReadOnlyBytes>(history, height * width, "history has the wrong size", self->alive);
    if (l.levels == nullptr) throw nb::value_error("a layer has no levels");
    std::vector<nb::object> copied;
    if (const uint8_t* rows = checked_data<ReadOnlyBytes>(skipped_rows, height, "skipped_rows have the wrong size", copied))
        l.skipped_rows.assign(rows, rows + height);
}

using Units = std::vector<std::vector<BoundLayer*>>;

// The kernels' plain arrays, and their way back into the Python objects.
struct NncBatch {
    std::vector<incnnr::NncLayer> layers;
    std::vector<incnnr::NncCodeword> codewords;

    explicit NncBatch(const Units& bound) {
        for (const auto& unit : bound)
            for (const BoundLayer* layer : unit) layers.push_back(layer->native);
        size_t first = 0;
        for (const auto& unit : bound) {
            codewords.push_back({layers.data() + first, unit.size(), nullptr, 0, 0, Status::ok});
            first += unit.size();
        }
    }

    void copy_back(const Units& bound) {
        auto from = layers.begin();
        for (const auto& unit : bound)
            for (BoundLayer* layer : unit) layer->native = std::move(*from++);
    }
};

void choose_nnc_tools(const Units& bound, unsigned threads) {
    NncBatch batch(bound);
    {
        nb::gil_scoped_release unlocked;
        incnnr::choose_nnc_tools(batch.codewords.data(), batch.codewords.size(), threads);
    }
    for (const auto& codeword : batch.codewords) raise_unless_ok(codeword.status);
    batch.copy_back(bound);
}

std::vector<nb::bytes> encode_nnc(const Units& bound, unsigned threads) {
    NncBatch batch(bound);
    {
        nb::gil_scoped_release unlocked;
        incnnr::encode_nnc(batch.codewords.data(), batch.codewords.size(), threads);
    }
    Status status = Status::ok;
    std::vector<nb::bytes> coded;
    for (const auto& codeword : batch.codewords) {
        if (codeword.status == Status::ok) {
            coded.push_back(taken(codeword.bytes, codeword.n_bytes));
        } else {
            status = codeword.status;
        }
    }
    raise_unless_ok(status);
    batch.copy_back(bound);
    return coded;
}

std::vector<size_t> decode_nnc(const Units& bound, const std::vector<ReadOnlyBytes>& coded, unsigned threads) {
    if (coded.size() != bound.size()) throw nb::value_error("as many byte strings as units are needed");
    NncBatch batch(bound);
    for (size_t i = 0; i < coded.size(); ++i) {
        batch.codewords[i].bytes = const_cast<uint8_t*>(coded[i].data());  // decoding only reads
        batch.codewords[i].n_bytes = coded[i].size();
    }
    {
        nb::gil_scoped_release unlocked;
        incnnr::decode_nnc(batch.codewords.data(), batch.codewords.size(), threads);
    }
    std::vector<size_t> n_used;
    for (const auto& codeword : batch.codewords) {
        if (codeword.status == Status::out_of_memory) throw std::bad_alloc();
        n_used.push_back(codeword.status == Status::ok ? codeword.n_used : 0);
    }
    batch.copy_back(bound);
    return n_used;
}

nb::object skipped_rows(const BoundLayer& layer) {
    const std::vector<uint8_t>& rows = layer.native.skipped_rows;
    if (rows.empty()) return nb::none();
    auto* copied = new std::vector<uint8_t>(rows);
    const nb::capsule owner(copied, [](void* at) noexcept { delete static_cast<std::vector<uint8_t>*>(at); });
    return nb::cast(nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(copied->data(), {copied->size()}, owner));
}

std::vector<nb::tuple> block_rows(const BoundLayer& layer) {
    std::vector<nb::tuple> rows;
    for (const auto& row : layer.native.block_rows) rows.push_back(nb::make_tuple(row.n_bits, row.value, row.state));
    return rows;
}

using ReadOnlyWeights = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct BoundQuantization {
    incnnr::NncQuantization native;
    std::vector<nb::object> alive;
};

void make_quantization(BoundQuantization* self, nb::handle weights, nb::handle levels, size_t height, size_t width, float step_size, bool dependent,
                       unsigned block_size, double price_of_a_bit, unsigned n_greater_flags, nb::handle skipped_rows) {
    if (!(step_size >= std::numeric_limits<float>::min() && step_size <= 0x1p126f)) throw nb::value_error("step_size is out of range");
    if (!(price_of_a_bit >= 0 && price_of_a_bit <= 1e6)) throw nb::value_error("price_of_a_bit is out of range");
    if (block_size > 64 || n_greater_flags < 1 || n_greater_flags > 256) throw nb::value_error("block_size or n_greater_flags is out of range");
    new (self) BoundQuantization{};
    incnnr::NncQuantization& q = self->native;
    q.weights = checked_data<ReadOnlyWeights>(weights, height * width, "weights have the wrong size", self->alive);
    q.levels = checked_data<Levels>(levels, height * width, "levels have the wrong size", self->alive);
    q.skipped_rows = checked_data<ReadOnlyBytes>(skipped_rows, height, "skipped_rows have the wrong size", self->alive);
    if (q.weights == nullptr || q.levels == nullptr) throw nb::value_error("weights or levels are missing");
    q.height = height;
    q.width = width;
    q.step_size = step_size;
    q.dependent = dependent;
    q.block_size = block_size;
    q.price_of_a_bit = price_of_a_bit;
    q.n_greater_flags = n_greater_flags;
}

void quantize_nnc(const std::vector<BoundQuantization*>& bound, unsigned threads) {
    std::vector<incnnr::NncQuantization> jobs;
    for (const BoundQuantization* job : bound) jobs.push_back(job->native);
    Status status;
    {
        nb::gil_scoped_release unlocked;
        status = incnnr::quantize_nnc(jobs.data(), jobs.size(), threads);
    }
    raise_unless_ok(status);
    for (size_t i = 0; i < bound.size(); ++i) bound[i]->native = jobs[i];
}

// glibc keeps freed memory that lies below anything still in use.
void trim_memory() {
#ifdef __GLIBC__
    nb::gil_scoped_release unlocked;
    malloc_trim(0);
#endif
}

uint64_t xxh64(ReadOnlyBytes data, uint64_t seed) {
    nb::gil_scoped_release unlocked;
    return incnnr::xxh64(data.data(), data.size(), seed);
}

}  // namespace

NB_MODULE(_core, m) {
    m.attr("CONTEXT_BYTES") = sizeof(incnnr::Context);
    m.attr("MOST_MEANS") = incnnr::most_means;
    m.attr("SCALES_PER_OCTAVE") = incnnr::scales_per_octave;
    m.attr("HAS_WIDE_VECTORS") = incnnr::has_wide_vectors();
    nb::class_<BoundSegment>(m, "Segment")
        .def("__init__", &make_segment, nb::arg("kind"), nb::arg("coding"), nb::arg("n_elements"), nb::kw_only(), nb::arg("result") = nb::none(),
             nb::arg("source") = nb::none(), nb::arg("reference") = nb::none(), nb::arg("contexts") = nb::none(), nb::arg("history") = nb::none(),
             nb::arg("changed") = nb::none(), nb::arg("keeps_before") = false, nb::arg("width") = 1, nb::arg("n_means") = 0,
             nb::arg("step_size") = 0.0, nb::arg("search") = 0, nb::arg("scale") = 0,
             nb::arg("max_error") = std::numeric_limits<double>::infinity(), nb::arg("relative_error") = 0.0)
        .def_prop_ro("digest", [](const BoundSegment& s) { return s.native.digest; })
        .def_prop_ro("before", [](const BoundSegment& s) { return nb::bytes(s.native.before, s.native.before_bytes); })
        .def_prop_ro("n_changed", [](const BoundSegment& s) { return s.native.n_changed; })
        .def_prop_ro("largest_error", [](const BoundSegment& s) { return s.native.largest_error; })
        .def_prop_ro("squared_error", [](const BoundSegment& s) { return s.native.squared_error; });
    m.def("encode", &encode, nb::arg("codewords"), nb::arg("threads"));
    m.def("decode", &decode, nb::arg("codewords"), nb::arg("coded"), nb::arg("threads"));
    m.def("find_changed", &find_changed, nb::arg("segments"), nb::arg("threads"));
    m.def("encode_flags", &encode_flags, nb::arg("flags"), nb::arg("last_flags"), nb::arg("contexts"));
    m.def("decode_flags", &decode_flags, nb::arg("coded"), nb::arg("flags"), nb::arg("last_flags"), nb::arg("contexts"));
    m.def("reset_contexts", &reset_contexts, nb::arg("contexts"));
    m.def("contexts_bytes", &contexts_bytes, nb::arg("kind"), nb::arg("coding"));
    m.def("reset_slice_contexts", &reset_slice_contexts, nb::arg("kind"), nb::arg("coding"), nb::arg("contexts"));
    m.def("squared_distance", [](unsigned kind, ReadOnlyBytes a, std::optional<ReadOnlyBytes> b) {
        check_quantizable(kind);
        const size_t n_elements = a.size() / incnnr::element_bytes(static_cast<incnnr::Kind>(kind));
        if (b && b->size() != a.size()) throw nb::value_error("arrays differ in size");
        nb::gil_scoped_release unlocked;
        return incnnr::squared_distance(static_cast<incnnr::Kind>(kind), n_elements, a.data(), b ? b->data() : nullptr);
    }, nb::arg("kind"), nb::arg("a"), nb::arg("b").none());
    m.def("means_bytes", [](unsigned kind, unsigned n_means, size_t n_elements) {
        return incnnr::means_bytes(static_cast<incnnr::Kind>(kind), n_means, n_elements);
    }, nb::arg("kind"), nb::arg("n_means"), nb::arg("n_elements"));
    m.def("history_bytes", &incnnr::history_bytes, nb::arg("n_elements"));
    m.def("reset_history", &reset_history, nb::arg("n_elements"), nb::arg("history"));
    nb::class_<BoundLayer>(m, "NncLayer")
        .def("__init__", &make_layer, nb::arg("levels").none(), nb::arg("height"), nb::arg("width"), nb::kw_only(), nb::arg("qp_bits") = 0,
             nb::arg("qp_delta") = 0, nb::arg("block_size") = 0, nb::arg("n_greater_flags") = 11, nb::arg("n_remainder_sets") = 31,
             nb::arg("codebook_size") = 0, nb::arg("zero_offset") = 0, nb::arg("has_preamble") = true, nb::arg("has_parent") = false,
             nb::arg("dependent") = false, nb::arg("single_row_resets") = false, nb::arg("base") = nb::none(),
             nb::arg("history") = nb::none(), nb::arg("history_contexts") = false, nb::arg("row_skip") = false,
             nb::arg("skipped_rows") = nb::none(), nb::arg("state_sets") = std::vector<uint8_t>(), nb::arg("temporal") = false)
        .def_prop_ro("qp_delta", [](const BoundLayer& l) { return l.native.qp_delta; })
        .def_prop_ro("history_contexts", [](const BoundLayer& l) { return l.native.history_contexts; })
        .def_prop_ro("row_skip", [](const BoundLayer& l) { return l.native.row_skip; })
        .def_prop_ro("skipped_rows", &skipped_rows)
        .def_prop_ro("temporal", [](const BoundLayer& l) { return l.native.temporal; })
        .def_prop_ro("state_sets", [](const BoundLayer& l) { return l.native.state_sets; })
        .def_prop_ro("block_rows", &block_rows);
    m.def("choose_nnc_tools", &choose_nnc_tools, nb::arg("units"), nb::arg("threads"));
    m.def("encode_nnc", &encode_nnc, nb::arg("units"), nb::arg("threads"));
    m.def("decode_nnc", &decode_nnc, nb::arg("units"), nb::arg("coded"), nb::arg("threads"));
    nb::class_<BoundQuantization>(m, "NncQuantization")
        .def("__init__", &make_quantization, nb::arg("weights").none(), nb::arg("levels").none(), nb::arg("height"), nb::arg("width"), nb::kw_only(),
             nb::arg("step_size"), nb::arg("dependent"), nb::arg("block_size") = 0, nb::arg("price_of_a_bit") = 0.0, nb::arg("n_greater_flags") = 11,
             nb::arg("skipped_rows") = nb::none())
        .def_prop_ro("in_range", [](const BoundQuantization& q) { return q.native.in_range; });
    m.def("quantize_nnc", &quantize_nnc, nb::arg("jobs"), nb::arg("threads"));
    m.def("trim_memory", &trim_memory);
    m.def("xxh64", &xxh64, nb::arg("data"), nb::arg("seed") = 0);
}
