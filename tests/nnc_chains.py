"""Random valid bitstreams of the standard, over all that its syntax allows, alone and in chains of updates.

What is drawn is written with the package's own tables and kernels. It is good for comparing decoders: both must make
the same of it, whatever it means.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import numpy as np

from incnnr.coding.nnc import NncLayer, encode_nnc
from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import (
    Aggregate,
    Codebook,
    Context,
    DataUnit,
    EntryPoint,
    ParameterTypes,
    PayloadType,
    Start,
    TopologyElementsIdsList,
    UnitEntryPoint,
    UnitSummary,
)
from tests.dependent import dependent_levels
from tests.nnc_fillers import (
    chance,
    framing,
    layer_parameter_set,
    model_parameter_set,
    passed_over,
    reference_list,
    topology,
)
from tests.nnc_things import Thing

SHAPES = [(), (1,), (6,), (7, 3), (1, 9), (9, 1), (17, 10), (2, 3, 4), (0,), (3, 0), (26, 9), (9, 2, 2, 3), (8, 9)]
BLOCK_SHAPES = [shape for shape in SHAPES if shape]
INT32 = np.iinfo(np.int32)


@dataclass
class Chain:
    """Bitstreams to decode in turn with one state, the shapes a decoder must know, and what was drawn."""

    bitstreams: list[bytes] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tools: Counter[str] = field(default_factory=Counter)


def random_chain(seed):
    return Sender(seed).chain()


class Sender:
    """One sender of bitstreams, and all the luck it has."""

    def __init__(self, seed):
        self.rng, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.profile = chance(self.rng, 0.75)
        self.nncodec_1 = not self.profile and bool(chance(self.rng, 0.4))
        self.indexed = chance(self.rng, 0.25)
        self.has_list = bool(chance(self.rng, 0.7))
        self.signalling = self.profile and chance(self.rng, 0.6)
        self.state = IncrementalState()
        self.made = Chain()
        self.names: list[str] = []
        self.things = [self.thing() for _ in range(self.rng.randint(1, 4))]

    def chain(self):
        for _ in range(self.rng.randint(2, 4) if self.signalling else 1):
            self.made.bitstreams.append(self.bitstream())
        self.made.tools[f"edition {1 + self.profile}"] += 1
        self.made.tools["NNCodec 1.x"] += self.nncodec_1
        self.made.tools["indexed references"] += self.indexed
        return self.made

    # ---- what there is to send ----

    def thing(self):
        rng = self.rng
        kind = rng.choice([PayloadType.INT, *[PayloadType.FLOAT] * 3, PayloadType.RAW_FLOAT, *[PayloadType.BLOCK] * 3])
        is_block = kind == PayloadType.BLOCK
        types = ParameterTypes(rng.randrange(16)) if is_block or chance(rng, 0.3) else ParameterTypes(0)
        shape = rng.choice(BLOCK_SHAPES if is_block else SHAPES)
        found = Thing(kind, [], shape, types, is_outside=bool(chance(rng, 0.2)))
        if types & ParameterTypes.DECOMPOSED:
            found.rank, found.rows = rng.randint(0, 10), rng.randint(1, 20)
        n_names = len(found.weights)
        if is_block:
            n_names += bool(types & 2) + 4 * bool(types & 4) + bool(types & 8)
        found.names = [self.name() for _ in range(n_names)]
        if found.is_outside:
            self.made.shapes |= dict.fromkeys(found.names[: len(found.weights)], shape)
        return found

    def name(self):
        i = len(self.names)
        self.names.append(str(i) if self.indexed and not self.has_list else ["", "w\u00e9"][i] if i < 2 else f"t.{i}")
        return self.names[-1]

    # ---- bitstreams ----

    def bitstream(self):
        units = [Start(general_profile_idc=self.profile)]
        units.append(model_parameter_set(self.rng, self.profile, self.indexed, self.signalling))
        if self.indexed and self.has_list:
            units.append(reference_list((*self.names, "another")))
        elif chance(self.rng, 0.5):
            units.append(topology(self.rng))
        n_fixed = len(units)
        before = self.state
        for _ in range(self.rng.randint(1, 4)):
            units += self.some_units(units)
            self.state = IncrementalState(before.nodes, before.shapes)
            decode_tensors(write(units, self.outside), self.state, self.made.shapes)
        return write(self.aggregated(units, n_fixed), self.outside)

    @property
    def outside(self):
        return Context(tensor_dimensions=self.made.shapes)

    def context_after(self, units):
        context = self.outside
        for unit in units:
            context = unit.context_after(context)
        return context

    def some_units(self, units):
        """A thing, and perhaps something in front of it."""
        rng, found = self.rng, []
        if chance(rng, 0.3):
            found.append(passed_over(rng))
        if chance(rng, 0.2):
            found.append(layer_parameter_set(rng, units[1].mps_unification_flag))
            self.made.tools["layer parameter sets"] += 1
        thing = rng.choice(self.things)
        context = self.context_after([*units, *found])
        if not context.has_quantization_method and thing.kind in (PayloadType.FLOAT, PayloadType.BLOCK):
            return found
        node = self.node_elements(thing)
        for i in range(2 if thing.is_pair else 1):
            found.append(self.data_unit(thing, node, self.context_after([*units, *found]), is_h=i == 1))
            if thing.is_pair and i == 0 and chance(rng, 0.3):
                found.append(passed_over(rng))
        return found

    def aggregated(self, units, n_fixed):
        """The same units, some of those behind the fixed ones together in one."""
        if len(units) - n_fixed < 2 or not chance(self.rng, 0.3):
            return units
        first = self.rng.randint(n_fixed, len(units) - 2)
        end = self.rng.randint(first + 2, len(units))
        before, inner = units[:first], units[first:end]
        has_points = chance(self.rng, 0.5)
        summaries = [UnitSummary(self.rng.randrange(32), units[1].mps_unification_flag and chance(self.rng, 0.5))]
        entries = [UnitEntryPoint(self.rng.randrange(64), self.rng.getrandbits(34))] * has_points
        aggregate = Aggregate(
            nnr_aggregate_unit_type=self.rng.randrange(2),
            entry_points_present_flag=has_points,
            entry_points=tuple(entries * len(inner)),
            summaries=tuple(summaries * len(inner)),
            payload=write(inner, self.context_after(before)),
            units=inner,
        )
        self.made.tools["aggregate units"] += 1
        return [*before, aggregate, *units[end:]]

    # ---- data units ----

    def data_unit(self, thing, node, context, *, is_h):
        unit = DataUnit(nnr_compressed_data_unit_payload_type=thing.kind, framing=framing(self.rng), **node)
        names = thing.names[int(is_h) :][:1] if thing.kind != PayloadType.BLOCK else thing.names
        self.name_elements(unit, names)
        self.value_elements(unit, thing)
        self.input_parameters(unit, thing)
        if len(thing.shape) > 1:
            unit.first_tensor_dimension_shift = self.profile and self.rng.randrange(4)
            unit.scan_order = self.rng.choice([0, 0, 1, 1, 2, 3, 4])
        self.count(unit, thing)
        if thing.kind == PayloadType.RAW_FLOAT:
            shape = thing.weights[int(is_h)]
            unit.payload = self.rng.randbytes(4 * prod(shape))
            self.set_entry_points(unit, [(shape, None)])
            return unit
        shapes, layers = self.layers(unit, thing, context, is_h)
        [unit.payload] = encode_nnc([layers], threads=1)
        n_weights = 1 if thing.is_pair else len(thing.weights)
        self.set_entry_points(unit, list(zip(shapes, layers, strict=True))[-n_weights:])
        return unit

    def node_elements(self, thing):
        """Where a unit is in the tree of updates; it follows from what the state has."""
        rng = self.rng
        if not self.profile:
            return {}
        known = self.state.nodes.get(thing.names[0])
        elements = {"node_id_present_flag": chance(rng, 0.8)}
        node = {"parameter_id": rng.randrange(99), "put_node_depth": rng.randrange(1, 99)}
        device = {"device_id": rng.randrange(9)}
        if known is not None and known.is_named:
            node = {"parameter_id": known.parameter_id, "put_node_depth": known.put_node_depth + 1}
            device = {"device_id": known.device_id}
        if elements["node_id_present_flag"]:
            elements |= node | device
        if self.signalling and chance(rng, 0.8):
            elements |= self.parent_elements(known, elements, node)
        return elements

    def parent_elements(self, known, elements, node):
        rng = self.rng
        kind = rng.choice([0, 0, 0, 1, 2])
        parent = {"parent_node_id_present_flag": 1, "parent_node_id_type": kind}
        parent["temporal_context_modeling_flag"] = int(known is not None) and chance(rng, 0.7)
        if kind == 0:
            parent["parent_device_id"] = rng.randrange(3)
            return parent | ({} if elements["node_id_present_flag"] else node)
        return parent | {f"parent_node_payload_sha{256 * kind}": rng.randbytes(32 * kind)}

    def name_elements(self, unit, names):
        indices = tuple(self.names.index(name) for name in names)
        if len(names) > 1:
            ids = {"topology_elem_id_index_list": indices} if self.indexed else {"topology_elem_id_list": tuple(names)}
            unit.nnr_multiple_topology_elements_present_flag = 1
            unit.topology_elements_ids_list = TopologyElementsIdsList(**ids)
        elif self.indexed:
            unit.topology_elem_id_index = indices[0]
        else:
            unit.topology_elem_id = names[0]

    def value_elements(self, unit, thing):
        rng = self.rng
        has_codebook = thing.kind in (PayloadType.FLOAT, PayloadType.BLOCK) and chance(rng, 0.35)
        if has_codebook:
            unit.codebook_present_flag, unit.codebook = 1, self.codebook()
            if thing.kind == PayloadType.BLOCK and len(thing.weights) > 1:
                unit.codebook_h = self.codebook()
        elif thing.kind != PayloadType.RAW_FLOAT:
            unit.dq_flag = chance(rng, 0.6)
        if chance(rng, 0.2):
            unit.nnr_decompressed_data_format_present_flag = 1
            unit.nnr_decompressed_data_format = rng.randrange(10)

    def codebook(self):
        rng = self.rng
        n_values = rng.choice([1, 2, 3, rng.randint(1, 12), rng.randint(1, 50)])
        values = sorted(rng.sample(range(-500, 500), n_values))
        zero = rng.choice([0, n_values - 1, n_values // 2, rng.randrange(n_values)])
        return Codebook(rng.randrange(16), zero, tuple(values))

    def input_parameters(self, unit, thing):
        rng = self.rng
        if thing.is_outside and not thing.types and chance(rng, 0.5):
            return
        unit.input_parameters_present_flag = 1
        unit.compressed_parameter_types = int(thing.types)
        unit.decomposition_rank, unit.g_number_of_rows = thing.rank, thing.rows
        if not thing.is_outside or chance(rng, 0.5):
            unit.tensor_dimensions_flag, unit.tensor_dimensions = 1, thing.shape
        if chance(rng, 0.7):
            unit.cabac_unary_length_flag = 1
            unit.cabac_unary_length_minus1 = rng.choice([0, 1, 9, 10, 10, 10, 30, 255])

    # ---- codewords ----

    def layers(self, unit, thing, context, is_h):
        """The shapes and the layers of a unit in the order of its codeword."""
        weights = thing.weights[int(is_h) :][:1] if thing.is_pair else thing.weights
        names = thing.names[int(is_h) :] if thing.is_pair else thing.names
        vectors = thing.vectors if thing.kind == PayloadType.BLOCK else []
        members = [(name, thing.shape[:1], None) for name in vectors]
        members += list(zip(names, weights, (unit.codebook, unit.codebook_h), strict=False))
        layers = [self.layer(unit, context, *member) for member in members]
        return [shape for _, shape, _ in members], layers

    def layer(self, unit, context, name, shape, codebook):
        rng = self.rng
        height, width = shape[0] if shape else 1, prod(shape[1:])
        is_integer = unit.nnr_compressed_data_unit_payload_type == PayloadType.INT
        limits = codebook if self.profile else None
        has_rows = self.profile and height > 1 and width > 1 and not (limits and len(limits.values) == 1)
        skips, block = bool(has_rows and chance(rng, 0.5)), self.block_size(unit, shape)
        skipped = (self.numbers.random(height) < 0.3).astype(np.uint8) * skips
        dependent = bool(unit.dq_flag) and not is_integer
        numbers = self.coded_numbers(height * width, codebook, dependent)
        numbers.reshape(height, width)[skipped == 1] = 0
        levels = dependent_levels(numbers, height, width, block, skipped) if dependent and width else numbers
        node = self.state.nodes.get(name) if self.signalling else None
        history = bool(has_rows and unit.parent_node_id_present_flag and chance(rng, 0.5))
        self.made.tools["row_skip_enabled_flag"] += skips
        self.made.tools["hist_dep_sig_prob_enabled_flag"] += history
        return NncLayer(
            levels,
            height,
            width,
            qp_bits=0 if is_integer else 6 + context.qp_density,
            qp_delta=0 if is_integer else rng.randint(-32 << context.qp_density, (32 << context.qp_density) - 1),
            block_size=block,
            n_greater_flags=unit.cabac_unary_length_minus1 + 1,
            n_remainder_sets=32 if self.nncodec_1 else 31,
            codebook_size=len(limits.values) if limits else 0,
            zero_offset=limits.zero_offset if limits else 0,
            has_preamble=bool(self.profile),
            has_parent=bool(unit.parent_node_id_present_flag),
            dependent=dependent,
            single_row_resets=self.nncodec_1,
            temporal=bool(unit.temporal_context_modeling_flag),
            base=node.levels if node else None,
            history=node.history if node else None,
            history_contexts=history,
            row_skip=skips,
            skipped_rows=skipped if skips else None,
            state_sets=self.state_sets(unit.cabac_unary_length_minus1 + 1),
        )

    def block_size(self, unit, shape):
        return 4 << unit.scan_order if unit.scan_order and len(shape) > 1 else 0

    def state_sets(self, n_greater_flags):
        sets = self.numbers.integers(0, 9, 53 + 4 * n_greater_flags + 37)
        return (sets * (self.numbers.random(sets.size) < self.rng.choice([0, 0.2, 1]))).tolist()

    def coded_numbers(self, n, codebook, dependent):
        """Mostly small integers, sometimes none, sometimes the largest there are."""
        scale = self.rng.choice([0, 0.3, 1, 3, 20, 1e5, 1e9])
        found = np.round(self.numbers.laplace(0, scale, n)).astype(np.int64)
        if codebook:
            return np.clip(found, -codebook.zero_offset, len(codebook.values) - 1 - codebook.zero_offset).astype("i4")
        if scale == 1e9:
            found[self.numbers.random(n) < 0.2] = INT32.max
            found[self.numbers.random(n) < 0.2] = INT32.min
        most = INT32.max >> dependent
        return np.clip(found, -most - (not dependent), most).astype(np.int32)

    def set_entry_points(self, unit, weights):
        """Those that the encoder met; where it met none, as in a matrix of one column, any will do."""
        found = []
        size = 4 << unit.scan_order
        for shape, layer in weights if unit.scan_order else []:
            n_points = max(-(-shape[0] // size) - 1, 0)
            rows = layer.block_rows if layer and shape[0] > 1 and prod(shape[1:]) > 1 else []
            met = [EntryPoint(b[1], b[2], b[0] - a[0]) for a, b in pairwise(rows)]
            found += met or [self.any_point(unit)] * n_points
        unit.entry_points = tuple(found)

    def any_point(self, unit):
        return EntryPoint(self.rng.randrange(256), unit.dq_flag and self.rng.randrange(8), self.rng.randrange(999))

    def count(self, unit, thing):
        tools = self.made.tools
        tools["data units"] += 1
        tools["shapes from outside"] += not unit.tensor_dimensions_flag
        tools["pairs of factors"] += thing.is_pair
        tools["codebooks of one value"] += bool(unit.codebook) and len(unit.codebook.values) == 1
        if unit.parent_node_id_present_flag:
            tools[f"parent_node_id_type {unit.parent_node_id_type}"] += 1
        tools[f"{thing.kind.name} units"] += 1
        for element in ("codebook_present_flag", "dq_flag", "temporal_context_modeling_flag", "scan_order"):
            tools[element] += bool(getattr(unit, element))
        if thing.kind == PayloadType.BLOCK:
            tools[f"block of {unit.compressed_parameter_types:04b} (BI BN LS DC)"] += 1
