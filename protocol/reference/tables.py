"""The constants in protocol/tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "tables"


def table(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())[name]


LPS_RANGE: list[list[int]] = table("lps_range")
ADAPTATION: list[int] = table("adaptation")
INITIAL_STATES: list[dict[str, int]] = table("initial_states")
DQ_STATES: list[list[int]] = table("dq_states")
LEVEL_STARTS: dict[str, list[int]] = table("level_starts")
SIGN_PROBABILITIES: list[int] = table("sign_probabilities")
