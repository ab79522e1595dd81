"""Bitstreams of the standard whose headers declare what is not there."""

from __future__ import annotations

from incnnr.nnc.bitio import BitWriter
from incnnr.nnc.syntax import PayloadType
from incnnr.nnc.units import UnitType, pack_unit

START = bytes.fromhex("000402010008068100400080")


def lying(unit_type, *fields, rest=b""):
    writer = BitWriter()
    for name, *arguments in fields:
        getattr(writer, name)(*arguments)
    writer.byte_alignment()
    return START + pack_unit(unit_type, bytes(writer) + rest + bytes(64))


NAMED = [("u", 5, PayloadType.FLOAT), ("u", 3, 1), ("st", "x")]
NODE = [("u", 1, 0)]
SHAPED = [("u", 1, 0), ("u", 1, 0), ("u", 1, 1), ("u", 1, 0), ("u", 4, 0)]
LIES = {
    "a codebook of 10^9 values": lying(
        UnitType.NDU, *NAMED, *NODE, ("u", 1, 1), ("u", 4, 0), ("ue", 2, 10**9), ("ie", 2, 0), ("ie", 7, 0)
    ),
    "a codebook without values": lying(
        UnitType.NDU, *NAMED, *NODE, ("u", 1, 1), ("u", 4, 0), ("ue", 2, 0), ("ie", 2, 0), ("ie", 7, 0)
    ),
    "2^32 names": lying(UnitType.TPL, ("u", 8, 6), ("u", 8, 0), ("ue", 7, (1 << 32) - 2)),
    "a mask of 2^32 bits": lying(
        UnitType.TPL, ("u", 8, 5), ("u", 8, 0), ("u", 8, 0b00100000), ("u", 32, (1 << 32) - 1)
    ),
    "10^12 dimensions": lying(UnitType.NDU, *NAMED, *NODE, *SHAPED, ("ue", 1, 10**12)),
    "dimensions whose product overflows": lying(
        UnitType.NDU, *NAMED, *NODE, *SHAPED, ("ue", 1, 3), *[("ue", 7, 1 << 31)] * 3
    ),
    "10^8 entry points": lying(
        UnitType.NDU,
        *NAMED,
        *NODE,
        *SHAPED,
        ("ue", 1, 2),
        ("ue", 7, 8 * 10**8),
        ("ue", 7, 2),
        ("ue", 1, 0),
        ("u", 4, 1),
    ),
    "a scan order of 5": lying(
        UnitType.NDU, *NAMED, *NODE, *SHAPED, ("ue", 1, 2), ("ue", 7, 8), ("ue", 7, 2), ("ue", 1, 0), ("u", 4, 5)
    ),
    "a payload type of 4": lying(UnitType.NDU, ("u", 5, 4), ("u", 3, 0)),
    "a parameter set with too many bytes": lying(UnitType.MPS, ("u", 16, 0)),
    "a profile of 2": pack_unit(UnitType.STR, b"\x02"),
    "a start unit with too many bytes": pack_unit(UnitType.STR, b"\x01\x00"),
    "aggregate units in each other": START + pack_unit(UnitType.AGG, bytes(5) + b"\x20" + pack_unit(UnitType.AGG, b"")),
    "more aggregated units than there are": START + pack_unit(UnitType.AGG, bytes(5) + b"\x20" + pack_unit(9, b"")),
}
