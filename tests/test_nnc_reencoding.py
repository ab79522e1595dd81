"""What a stored bitstream of the standard decodes to is encoded to the same bytes again."""

from __future__ import annotations

import pytest

from incnnr.coding.nnc import choose_nnc_tools, encode_nnc
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import Context
from tests.nnc_layers import reencoded
from tests.nnc_vectors import SERIES, bytes_of, decoded, shapes_of


@pytest.mark.parametrize("names", SERIES.values(), ids=SERIES)
def test_stored_levels_are_encoded_to_the_stored_bytes_with_what_their_bitstream_says(names):
    nodes = {}
    for name in names:
        context = Context(tensor_dimensions=shapes_of(name, nodes))
        units = [reencoded(unit, layers) for unit, layers in decoded(name, nodes)]
        assert write(units, context) == bytes_of(name)


def test_own_choices_take_fewer_bytes_in_all_and_no_more_in_any_unit_without_dependent_quantisation():
    n_stored = n_chosen = 0
    for names in SERIES.values():
        nodes = {}
        for unit, layers in (pair for name in names for pair in decoded(name, nodes)):
            if not layers:
                continue
            choose_nnc_tools([layers], threads=1)
            [payload] = encode_nnc([layers], threads=1)
            assert unit.dq_flag or len(payload) <= len(unit.payload)
            n_stored, n_chosen = n_stored + len(unit.payload), n_chosen + len(payload)
    assert n_chosen < 0.99 * n_stored
