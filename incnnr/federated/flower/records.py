"""What both ends agree on: the records of Flower's messages, their arrays, and blobs in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict

KEY = "incnnr"
_PLAIN = "numpy.ndarray"


def has_plain_arrays(content: RecordDict) -> bool:
    """Whether there are arrays, all serialised as Flower does it."""
    arrays = arrays_of(content)
    return bool(arrays) and all(array.stype == _PLAIN for array in arrays.values())


def array_bytes(content: RecordDict) -> int:
    """Count the bytes of the data of all arrays."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def arrays_of(content: RecordDict) -> dict[str, Array]:
    """Return all arrays by name; with the number of their record in front if there are several records."""
    records = sorted(content.array_records.items())
    if len(records) == 1:
        return dict(records[0][1])
    return {f"{i}/{name}": array for i, (_, record) in enumerate(records) for name, array in record.items()}


def tensors_of(content: RecordDict) -> dict[str, Any]:
    """Return all arrays as numpy has them; nothing if one of them is of another serialisation than Flower's."""
    return {name: array.numpy() for name, array in arrays_of(content).items()} if has_plain_arrays(content) else {}


def with_tensors(content: RecordDict, tensors: Mapping[str, Any]) -> RecordDict:
    """Return the content with these arrays in its records, under names as from `arrays_of`."""
    names = sorted(content.array_records)
    records: dict[str, dict[str, Array]] = {name: {} for name in names}
    for name, tensor in tensors.items():
        place, _, own_name = name.partition("/")
        record, key = (names[0], name) if len(names) == 1 else (names[int(place)], own_name)
        records[record][key] = Array(np.asarray(tensor))
    return _with_array_records(content, {name: ArrayRecord(arrays) for name, arrays in records.items()})


def blob_of(content: RecordDict) -> bytes | None:
    """Return the bytes that stand for the arrays of a message; None if it has its arrays, or none."""
    for _, record in sorted(content.array_records.items())[:1]:
        if KEY in record and record[KEY].stype == KEY:
            return bytes(record[KEY].data)
    return None


def with_blob(content: RecordDict, blob: bytes) -> RecordDict:
    """Return the content with a blob in its first array record, and nothing in the others."""
    first, *others = sorted(content.array_records)
    array = Array(dtype="uint8", shape=(len(blob),), stype=KEY, data=blob)
    return _with_array_records(content, {first: ArrayRecord({KEY: array}), **{name: ArrayRecord() for name in others}})


def _with_array_records(content: RecordDict, records: Mapping[str, ArrayRecord]) -> RecordDict:
    """Return a new RecordDict: strategies share theirs between nodes."""
    return RecordDict({name: records.get(name, record) for name, record in content.items()})
