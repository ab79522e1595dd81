"""iso.md section 11: what a decoder of updates keeps from one bitstream to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.reference.errors import DoesNotFollowError
from protocol.reference.iso.data_unit import Node


@dataclass
class Past:
    """The past of one tensor: its latest levels, where there ever was one other than 0, and its latest node."""

    levels: list[int]
    ever_significant: list[bool]
    node: Node | None


@dataclass
class State:
    """The past of every tensor that an update has named."""

    tensors: dict[str, Past] = field(default_factory=dict)

    def copy(self) -> State:
        return State(dict(self.tensors))

    def base(self, name: str, n_elements: int) -> list[int]:
        """The levels that temporal contexts look at."""
        if name not in self.tensors:
            raise DoesNotFollowError(f"{name!r} refers to an update that the state does not have")
        self.check_size(name, n_elements)
        return self.tensors[name].levels

    def history(self, name: str, n_elements: int) -> list[bool] | None:
        if name not in self.tensors:
            return None
        self.check_size(name, n_elements)
        return self.tensors[name].ever_significant

    def check_size(self, name: str, n_elements: int) -> None:
        if len(self.tensors[name].levels) != n_elements:
            raise DoesNotFollowError(f"{name!r} had another number of elements")

    def check_that_it_follows(self, name: str, node: Node | None) -> None:
        """A node that names its parent must be one deeper than the node the state has."""
        past = self.tensors.get(name)
        if past is None or past.node is None or node is None:
            return
        if node != Node(past.node.device, past.node.parameter, past.node.depth + 1):
            raise DoesNotFollowError(f"{name!r} does not follow what the state has")

    def add(self, name: str, levels: list[int], node: Node | None) -> None:
        """Earlier states stay as they are."""
        significant = [level != 0 for level in levels]
        if name in self.tensors and len(self.tensors[name].levels) == len(levels):
            before = self.tensors[name].ever_significant
            significant = [a or b for a, b in zip(before, significant, strict=True)]
        self.tensors[name] = Past(levels, significant, node)
