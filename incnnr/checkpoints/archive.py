"""What the formats that are zip archives have in common."""

from __future__ import annotations

import zipfile
from pathlib import Path


def has_end_record(path: Path) -> bool:
    """Whether the record that ends a zip archive, and is written last, is there and readable."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # raised for end records that contradict themselves
        return False
