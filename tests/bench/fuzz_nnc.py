"""Damages bitstreams of the standard, at random and in every length: nothing but typed errors may come of it.

By hand (a minute or two)::

    python -m tests.bench.fuzz_nnc [--flips 60] [--chains 100] [--seed 1]

Every stored bitstream, behind the others of its series, and those of random chains get one to four bits flipped,
`flips` times each; every prefix of the small ones is tried, and 300 of the large ones. Prints how often what came out.
Untyped errors, errors that do not say where, and states that changed are faults. Where the native and the plain decoder
of the pages both make something of damaged bytes, it must be the same: a difference is a fault, too. How often one
refuses what the other reads is counted. Exits 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import chain

from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors
from protocol.reference.errors import DoesNotFollowError, MalformedError
from protocol.reference.iso.bitstream import decode
from protocol.reference.iso.data_unit import Node
from protocol.reference.iso.errors import UnsupportedError
from protocol.reference.iso.incremental import Past, State
from tests.bench import damage
from tests.nnc_agreement import exact
from tests.nnc_damage import LIMITS, Case, copied, flipped, outcome, prefixes, random_cases, stored_cases

MOST_WEIGHTS_TO_COMPARE = 3_000  # the plain decoder takes its time


def plain_state(state: IncrementalState) -> State:
    """What the plain decoder holds when the native one holds `state`."""
    nodes = {
        name: Node(node.device_id, node.parameter_id, node.put_node_depth) if node.is_named else None
        for name, node in state.nodes.items()
    }
    return State(
        {name: Past(node.levels.tolist(), list(node.history), nodes[name]) for name, node in state.nodes.items()}
    )


def agreement(case: Case, data: bytes) -> str:
    """Decode by both what the native decoder takes."""
    native = decode_tensors(data, copied(case.state), case.shapes, LIMITS)
    if sum(tensor.values.size for tensor in native.values()) > MOST_WEIGHTS_TO_COMPARE:
        return "too large to compare"
    try:
        plain = decode(data, plain_state(case.state), case.shapes | case.state.shapes)
    except (MalformedError, UnsupportedError, DoesNotFollowError) as error:
        return f"the plain decoder refuses: {error}"
    same = exact({name: tensor.values for name, tensor in native.items()}) == exact(plain.values)
    return "the same weights" if same else f"FAULT: other weights, of {case.name}: {data.hex()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Bit flips and prefixes of bitstreams of the standard.")
    parser.add_argument("--flips", type=int, default=60)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    flips: Counter[str] = Counter()
    cuts: Counter[str] = Counter()
    compared: Counter[str] = Counter()
    n_bytes = n_cases = 0
    for case in chain(stored_cases(), random_cases(range(arguments.seed, arguments.seed + arguments.chains))):
        n_cases, n_bytes = n_cases + 1, n_bytes + len(case.data)
        cuts.update(
            outcome(data, copied(case.state), case.shapes) for data in prefixes(case.data, 1000, arguments.seed)
        )
        for data in flipped(case.data, arguments.flips, arguments.seed):
            found = outcome(data, copied(case.state), case.shapes)
            flips[found] += 1
            if found == "weights":
                compared[agreement(case, data)] += 1
    n_faults = damage.report(f"{flips.total()} flips in {n_cases} bitstreams of {n_bytes} bytes", flips)
    n_faults += damage.report(f"{cuts.total()} prefixes", cuts)
    n_faults += damage.report("what still decodes, by the plain decoder", compared)
    print(f"{n_faults} faults")
    sys.exit(n_faults > 0)


if __name__ == "__main__":
    main()
