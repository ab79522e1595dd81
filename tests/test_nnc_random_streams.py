"""The plain decoder of the pages and the native one agree level by level on random streams."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.nnc_agreement import differences
from tests.nnc_chains import random_chain

SEEDS = range(150)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_decoders_make_the_same_of_a_random_chain_of_bitstreams(seed):
    assert list(differences(random_chain(seed))) == []


def test_the_random_chains_use_every_tool():
    tools = sum((random_chain(seed).tools for seed in SEEDS), Counter())
    assert {name for name in tools if name.startswith("block of")} == {
        f"block of {types:04b} (BI BN LS DC)" for types in range(16)
    }
    assert {name for name, count in tools.items() if count < 5 and not name.startswith("block of")} == set()
