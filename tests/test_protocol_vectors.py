"""Every stored series of updates decodes to what is stored beside it, in both decoders."""

from __future__ import annotations

import json

import ml_dtypes  # noqa: F401 -- its names become names of numpy dtypes
import numpy as np
import pytest
import xxhash

import incnnr
from protocol.reference import quantised
from protocol.reference.signs import Signs
from protocol.reference.state import state_of_base
from protocol.reference.update import decode
from tests.make_vectors import FOLDER, SERIES, SERIES_WITH_BASE, expected, main, position_of

VECTORS = sorted(path for path in FOLDER.iterdir() if path.is_dir())


def read_vector(folder):
    """The updates, the base (None if there is none) and what is expected after each update."""
    expectations = json.loads((folder / "expected.json").read_text("utf-8"))
    updates = [path.read_bytes() for path in sorted(folder.glob("*.incnnr-update"))]
    stored = expectations.get("base")
    base = stored and {
        name: (dtype, tuple(shape), bytes.fromhex(data)) for name, (dtype, shape, data) in stored.items()
    }
    return updates, base, expectations["after"]


@pytest.mark.parametrize("folder", VECTORS, ids=lambda folder: folder.name)
def test_the_native_decoder_makes_of_a_vector_what_is_stored_beside_it(folder):
    updates, base, after = read_vector(folder)
    held = base and {name: np.frombuffer(data, dtype).reshape(shape) for name, (dtype, shape, data) in base.items()}
    decoder = incnnr.Decoder(base=held)
    for update, expectation in zip(updates, after, strict=True):
        model = decoder.decode(update)
        assert position_of(model.position) == expectation["position"]
        assert list(expected(model).items()) == list(expectation["tensors"].items())


@pytest.mark.parametrize("folder", VECTORS, ids=lambda folder: folder.name)
def test_the_reference_makes_of_a_vector_what_is_stored_beside_it(folder):
    updates, base, after = read_vector(folder)
    state = base and state_of_base(base)
    for update, expectation in zip(updates, after, strict=True):
        state = decode(state, update)
        weights = state.weights().items()
        hashed = [
            (name, [dtype, list(shape), xxhash.xxh64(data).hexdigest()]) for name, (dtype, shape, data) in weights
        ]
        assert position_of(state.position) == expectation["position"]
        assert hashed == list(expectation["tensors"].items())


def test_every_way_of_quantising_is_in_the_vectors(monkeypatch):
    decode_header, corrected, seen = quantised.decode_header, quantised.corrected, set()

    def noted_header(codeword, learned, n_means):
        header = decode_header(codeword, learned, n_means)
        seen.add((n_means, header.has_levels, header.is_dependent, any(header.coefficients)))
        return header

    def noted_corrections(codeword, kind, elements):
        seen.add(("corrected", kind.n_bits))
        return corrected(codeword, kind, elements)

    monkeypatch.setattr(quantised, "decode_header", noted_header)
    monkeypatch.setattr(quantised, "corrected", noted_corrections)
    for name in ("predicted", "max_error"):
        state = None
        for update in read_vector(FOLDER / name)[0]:
            state = decode(state, update)
    with_levels = {(n, True, dependent, p) for n in (1, 2) for dependent in (True, False) for p in (True, False)}
    assert seen >= with_levels - {(1, True, False, p) for p in (True, False)}
    assert seen >= {(0, True, True, False), (2, False, False, False)}
    assert seen >= {("corrected", n_bits) for n_bits in (16, 32, 64)}


def test_distances_at_which_signs_are_alike_are_in_the_vectors(monkeypatch):
    decode_distances, seen = Signs.decode_distances, []

    def noted(signs, codeword):
        decode_distances(signs, codeword)
        seen.append(signs.distances)

    monkeypatch.setattr(Signs, "decode_distances", noted)
    state = None
    for update in read_vector(FOLDER / "alike_signs")[0]:
        state = decode(state, update)
    assert [{28, 56, 45, 90} & set(distances) for distances in seen] == [{28, 56}, {45, 90}]


def test_there_is_a_vector_of_every_series_and_making_them_changes_none(capsys):
    before = {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*")}
    main()
    assert {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*")} == before
    assert [folder.name for folder in VECTORS] == sorted(series.__name__ for series in SERIES + SERIES_WITH_BASE)
    assert capsys.readouterr().out.count("stays as it is") == len(VECTORS)
