"""Pictures with matplotlib, which `pip install --group bench` brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def panels(n_rows: int, n_columns: int) -> Any:
    """Return empty panels, [n_rows, n_columns], of one picture."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise SystemExit("a picture needs matplotlib: pip install --group bench") from None
    size = (4.6 * n_columns, 3.6 * n_rows)
    return pyplot.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")[1]


def finish(panel: Any, **labels: str) -> None:
    """Label a panel's axes and its lines."""
    panel.set(**labels)
    panel.grid(visible=True, which="both", alpha=0.2)
    panel.legend(frameon=False, fontsize="small")


def save(panel: Any, path: Path) -> None:
    """Write the picture that the panel is part of; the extension says as what."""
    panel.figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
