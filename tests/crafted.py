"""Updates that no encoder sends but every decoder must read alike: units around codewords of arbitrary bytes."""

from __future__ import annotations

import msgpack
import xxhash
import zstandard

from incnnr.incremental.syntax import Begin
from incnnr.nnc.units import read_units

STR, BEGIN, TABLE, DATA, END = 0, 32, 33, 34, 35


def unit(unit_type, payload, long_size=False, counter=None):
    header = bytes([unit_type << 2 | 2 | (counter is not None)]) + (b"" if counter is None else bytes([counter]))
    if long_size:
        return (1 << 31 | 4 + len(header) + len(payload)).to_bytes(4, "big") + header + payload
    return (2 + len(header) + len(payload)).to_bytes(2, "big") + header + payload


def varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def begin(sequence, parent_chain=None, version=4, flags=None):
    is_keyframe = parent_chain is None
    flags = int(is_keyframe) if flags is None else flags
    return bytes([version, flags]) + varint(sequence) + (b"" if is_keyframe else parent_chain.to_bytes(8, "little"))


def table(removed=(), altered=(), added=()):
    return zstandard.compress(msgpack.packb([list(removed), list(altered), list(added)]))


def data(n_slices, codewords):
    """The first codeword is that of the flags; the others get an empty bulk."""
    codewords = [codeword if i == 0 else b"\0" + codeword for i, codeword in enumerate(codewords)]
    return varint(n_slices) + b"".join(varint(len(codeword)) + codeword for codeword in codewords)


def update(begin_payload, table_payload=None, data_payloads=(), digest=0):
    units = [unit(STR, b"\xf1"), unit(BEGIN, begin_payload)]
    units += [] if table_payload is None else [unit(TABLE, table_payload)]
    units += [unit(DATA, payload, long_size=len(payload) > 30000) for payload in data_payloads]
    return sealed(units, None if begin_payload[1] & 1 else int.from_bytes(begin_payload[-8:], "little"), digest)


def sealed(units, parent_chain, digest):
    """Units with the END that makes them whole."""
    hashes = [*(xxhash.xxh64_intdigest(u) for u in units), digest]
    chain = xxhash.xxh64_intdigest(b"".join(h.to_bytes(8, "little") for h in hashes), parent_chain or 0)
    return b"".join([*units, unit(END, digest.to_bytes(8, "little") + chain.to_bytes(8, "little"))])


def resealed(update):
    """The same update with the END that its units deserve; as it is if its units cannot be found."""
    try:
        _, begin, *_ = units = list(read_units(update))
        parent_chain = Begin.read(begin).parent_chain
    except ValueError:
        return update
    return sealed([bytes(u.data) for u in units[:-1]], parent_chain, int.from_bytes(update[-16:-8], "little"))


def some_codeword(rng, n_bytes):
    """Runs of bits that are 0, 1 or anything; the last byte counts."""
    if n_bytes == 0:
        return b""
    runs = [bytes(8), b"\xff" * 8, rng.bytes(8)]
    mixed = b"".join(runs[rng.integers(3)] for _ in range(n_bytes // 8 + 1))
    return mixed[: n_bytes - 1] + bytes([rng.integers(1, 256)])
