"""The high-level syntax: one dataclass per unit, with the one table that both reads and writes it."""

from incnnr.nnc.syntax.aggregate import Aggregate, UnitEntryPoint, UnitSummary
from incnnr.nnc.syntax.base import SyntaxUnit, UnknownUnit
from incnnr.nnc.syntax.codebook import Codebook
from incnnr.nnc.syntax.context import Context
from incnnr.nnc.syntax.data import DataUnit, DecompressedDataFormat, ParameterTypes, ParentNodeIdType, PayloadType
from incnnr.nnc.syntax.entry_points import EntryPoint
from incnnr.nnc.syntax.parameter_sets import LayerParameterSet, ModelParameterSet, QuantizationMethod
from incnnr.nnc.syntax.performance_maps import (
    DecompositionPoint,
    PruningPoint,
    SparsificationPoint,
    UnificationPoint,
)
from incnnr.nnc.syntax.quantization import Quantization
from incnnr.nnc.syntax.start import Start
from incnnr.nnc.syntax.topology import (
    BitMask,
    CompressionFormat,
    PrunedElement,
    PruningContainer,
    PruningRepresentation,
    StorageFormat,
    Topology,
    deflated,
    inflated,
)
from incnnr.nnc.syntax.topology_ids import TopologyElementsIdsList

__all__ = [
    "Aggregate",
    "BitMask",
    "Codebook",
    "CompressionFormat",
    "Context",
    "DataUnit",
    "DecompositionPoint",
    "DecompressedDataFormat",
    "EntryPoint",
    "LayerParameterSet",
    "ModelParameterSet",
    "ParameterTypes",
    "ParentNodeIdType",
    "PayloadType",
    "PrunedElement",
    "PruningContainer",
    "PruningPoint",
    "PruningRepresentation",
    "Quantization",
    "QuantizationMethod",
    "SparsificationPoint",
    "Start",
    "StorageFormat",
    "SyntaxUnit",
    "Topology",
    "TopologyElementsIdsList",
    "UnificationPoint",
    "UnitEntryPoint",
    "UnitSummary",
    "UnknownUnit",
    "deflated",
    "inflated",
]
