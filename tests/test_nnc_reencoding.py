"""What a stored bitstream of the standard decodes to is encoded to the same bytes again."""

from __future__ import annotations

import pytest

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
