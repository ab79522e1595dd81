"""``topology_elements_ids_list()``: several topology elements, by name or by index."""

from __future__ import annotations

from dataclasses import dataclass

from incnnr.nnc.bitio import BitCoder


@dataclass(frozen=True, slots=True)
class TopologyElementsIdsList:
    """Two or more topology elements.

    Attributes
    ----------
    topology_elem_id_list : tuple of str
        Their names, where elements are named.
    topology_elem_id_index_list : tuple of int
        Their places in the reference list, where they are indexed.
    """

    topology_elem_id_list: tuple[str, ...] = ()
    topology_elem_id_index_list: tuple[int, ...] = ()

    def named(self, c: BitCoder) -> TopologyElementsIdsList:
        """Code a list of names."""
        names = self.topology_elem_id_list
        n_names = _count(c, len(names))
        c.byte_alignment()
        return TopologyElementsIdsList(topology_elem_id_list=c.repeated(n_names, names, "", c.st))

    def indexed(self, c: BitCoder) -> TopologyElementsIdsList:
        """Code a list of indices."""
        indices = self.topology_elem_id_index_list
        coded = c.repeated(_count(c, len(indices)), indices, 0, lambda index: c.ue(7, index))
        c.byte_alignment()
        return TopologyElementsIdsList(topology_elem_id_index_list=coded)


def _count(c: BitCoder, n_elements: int) -> int:
    count_topology_elements_minus2 = c.ue(7, max(n_elements, 2) - 2)
    return count_topology_elements_minus2 + 2
