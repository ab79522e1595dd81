from __future__ import annotations

import pytest

from incnnr.errors import TruncatedError
from incnnr.nnc.listing import list_units
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.syntax import Context, DataUnit
from tests.nnc_vectors import EXPECTED, SERIES, bytes_of, decoded

# Shapes from a base model, which a listing of one bitstream does not have.
COMPLETE = [name for name, members in SERIES.items() if not any("shapes" in EXPECTED[member] for member in members)]


@pytest.mark.parametrize("series", COMPLETE)
def test_units_are_listed_with_the_parameters_that_decoders_find(series):
    nodes = {}
    for name in SERIES[series]:
        data = bytes_of(name)
        listed = list(list_units(data))
        with_layers = list(decoded(name, nodes))
        contexts = [context for _, context in parse_with_context(data, Context())]
        assert sum(unit.n_bytes for unit in listed) == len(data)
        for unit, (parsed, layers), context in zip(listed, with_layers, contexts, strict=True):
            assert bool(unit.tensors) == isinstance(parsed, DataUnit)
            for tensors in unit.tensors:
                assert tensors.names == parsed.topology_elements(context)
                if tensors.qp is not None:
                    assert tensors.qp == context.quantization_parameter + layers[0].qp_delta


def test_a_bitstream_that_ends_early_is_listed_as_far_as_it_goes():
    data = bytes_of("model_default")
    units = list_units(data[:-3])
    assert next(units).type == "STR"
    with pytest.raises(TruncatedError):
        list(units)
