"""Random units of the standard beside data units: parameter sets, topologies, and what decoders pass over."""

from __future__ import annotations

from incnnr.nnc.syntax import (
    BitMask,
    DecompositionPoint,
    LayerParameterSet,
    ModelParameterSet,
    PrunedElement,
    PruningContainer,
    PruningPoint,
    Quantization,
    SparsificationPoint,
    StorageFormat,
    Topology,
    TopologyElementsIdsList,
    UnificationPoint,
    UnknownUnit,
    deflated,
)
from incnnr.nnc.units import Framing


def chance(rng, probability):
    return int(rng.random() < probability)


def some_bytes(rng, n_most):
    return rng.randbytes(rng.randint(0, n_most))


def framing(rng):
    return Framing(chance(rng, 0.1), chance(rng, 0.8), rng.choice([None, None, None, rng.randrange(256)]))


def number(rng):
    return rng.randint(-64, 64) / 8


def classes(rng):
    return rng.randrange(1000), tuple(number(rng) for _ in range(rng.randint(0, 3)))


def sizes(rng, most):
    return tuple(rng.randint(1, most) for _ in range(rng.randint(0, 3)))


def unification_point(rng):
    return UnificationPoint(sizes(rng, 900), sizes(rng, 255), sizes(rng, 255), number(rng), number(rng), *classes(rng))


def decomposition_point(rng):
    return DecompositionPoint(number(rng), number(rng), number(rng), classes(rng)[1])


def points(rng, make):
    return tuple(make(rng) for _ in range(rng.randint(0, 2)))


def shared_maps(rng, prefix, unifies):
    """The three performance maps that both kinds of parameter sets can have."""
    found = {f"{prefix}_unification_flag": unifies}
    if unifies:
        found["unification_performance_map"] = points(rng, unification_point)
    if chance(rng, 0.15):
        found[f"{prefix}_sparsification_flag"] = 1
        found["sparsification_performance_map"] = points(
            rng, lambda r: SparsificationPoint(number(r), number(r), number(r), *classes(r))
        )
    if chance(rng, 0.15):
        found[f"{prefix}_pruning_flag"] = 1
        found["pruning_performance_map"] = points(rng, lambda r: PruningPoint(number(r), number(r), *classes(r)))
    return found


def steps(rng, prefix, method):
    """Density and base of the step sizes; with the deltas of data units they are at most 2^122, or as small as 0."""
    if not method:
        return {}
    density = rng.randrange(8)
    lowest, highest = rng.choice([(-30, 30), (-30, 30), (-160, 90)])
    base = rng.randint(lowest << density, highest << density)
    return {
        f"{prefix}_quantization_method_flags": method,
        f"{prefix}_qp_density": density,
        f"{prefix}_quantization_parameter": max(-4096, min(4095, base)),
    }


def model_parameter_set(rng, profile, indexed, signalling):
    elements = {
        "framing": framing(rng),
        "topology_carriage_flag": chance(rng, 0.5),
        "mps_topology_indexed_reference_flag": indexed,
        **steps(rng, "mps", rng.choice([0, 1, 1, 1, 2, 3, 5])),
        **shared_maps(rng, "mps", chance(rng, 0.2)),
    }
    if chance(rng, 0.15):
        elements["mps_decomposition_performance_map_flag"] = 1
        elements["decomposition_performance_map"] = points(rng, decomposition_point)
    if profile == 1:
        elements |= edition_2(rng, signalling)
    return ModelParameterSet(**elements)


def edition_2(rng, signalling):
    elements = {"mps_parent_signalling_enabled_flag": signalling, "nnr_pre_flag": signalling and chance(rng, 0.2)}
    if chance(rng, 0.2):
        elements |= {"base_model_id_present_flag": 1, "base_model_id": "a model \u00e4\u2713"}
    if chance(rng, 0.2):
        elements |= {"metric_type_performance_map_valid_flag": 1, "performance_metric_type": "top-1"}
    if chance(rng, 0.2):
        elements |= {"validation_set_performance_present_flag": 1, "performance_metric_type": ""}
        elements |= {"validation_set_performance": number(rng)}
    return elements


def layer_parameter_set(rng, unifies):
    return LayerParameterSet(
        framing=framing(rng),
        lps_self_contained_flag=chance(rng, 0.5),
        **steps(rng, "lps", rng.choice([0, 1, 2])),
        **shared_maps(rng, "lps", unifies),
    )


def mask(rng):
    n_bits = rng.randint(0, 40)
    held = rng.getrandbits(n_bits) << -n_bits % 8 if n_bits else 0
    return BitMask(n_bits, held.to_bytes((n_bits + 7) // 8, "big"))


def pruning(rng):
    container = PruningContainer(nnr_rep_type=chance(rng, 0.5), order_flag=chance(rng, 0.5))
    container.prune_flag, container.sparse_flag = chance(rng, 0.7), chance(rng, 0.5)
    if container.sparse_flag:
        container.sparse_mask = mask(rng)
    if container.prune_flag and container.nnr_rep_type:
        container.elements = tuple(PrunedElement(f"layer {i}", sizes(rng, 500)) for i in range(rng.randint(0, 3)))
    elif container.prune_flag:
        container.prune_mask = mask(rng)
    return Topology(topology_storage_format=StorageFormat.PRUNING, pruning_container=container)


def topology(rng):
    storage = rng.choice([StorageFormat.UNRECOGNIZED, StorageFormat.ONNX, StorageFormat.PYTORCH])
    made = rng.choice(
        [
            lambda: Topology(topology_data=b"\0"),
            lambda: Topology(topology_storage_format=storage, topology_data=some_bytes(rng, 30)),
            lambda: deflated(some_bytes(rng, 30), storage),
            lambda: pruning(rng),
        ]
    )()
    made.framing = framing(rng)
    return made


def reference_list(names):
    ids = TopologyElementsIdsList(topology_elem_id_list=names)
    return Topology(topology_storage_format=StorageFormat.REFERENCE_LIST, topology_elements_ids_list=ids)


def passed_over(rng):
    """A unit that changes nothing."""
    unit = rng.choice(
        [
            UnknownUnit(nnr_unit_type=rng.randint(7, 63), payload=some_bytes(rng, 20)),
            Quantization(quantization_storage_format=rng.randrange(256), quantization_data=some_bytes(rng, 20)),
        ]
    )
    unit.framing = framing(rng)
    return unit
