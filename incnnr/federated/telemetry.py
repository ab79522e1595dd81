"""What each round of a session took: bytes, time, repairs and what was lost on the way down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from incnnr.tensors import Array, type_of

_PLAIN_COLOR, _OURS_COLOR = "tab:gray", "tab:green"


@dataclass(slots=True)
class RoundTraffic:
    """What it took to carry one model of the server to clients and their replies back.

    Attributes
    ----------
    round : int
        Number of the model, counted from 0.
    down_bytes, up_bytes : int
        Of messages and of replies, repairs included.
    plain_bytes : int
        What the same arrays take as they are, both ways.
    encode_seconds, decode_seconds : float
        Of the server.
    resyncs : int
        Clients that had to be sent more.
    rejected : int
        Replies that were left out.
    change : float
        What clients lacked of the model before it was sent, in rms over all weights. That of the first round is a good
        step to begin with: ``qp = 4 * log2(change)``.
    distortion : float
        Of what the model changed by, the part that clients did not get, in rms; 0 if the downlink is exact.

    Examples
    --------
    >>> RoundTraffic(0, down_bytes=10, up_bytes=10, plain_bytes=2000).ratio
    100.0
    """

    round: int
    down_bytes: int = 0
    up_bytes: int = 0
    plain_bytes: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    resyncs: int = 0
    rejected: int = 0
    change: float = 0.0
    distortion: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times smaller all of it is than the arrays as they are."""
        return self.plain_bytes / max(1, self.down_bytes + self.up_bytes)


def rms_difference(exact: Mapping[str, Array], held: Mapping[str, Array]) -> float:
    """Return the root mean square of what `held` lacks of the weights that both have."""
    lacking, n_weights = 0.0, 0
    for name, array in exact.items():
        if type_of(array).is_lossy_capable and name in held and held[name].shape == array.shape:
            lacking += float(np.nansum((array.astype(np.float64) - held[name]) ** 2))
            n_weights += array.size
    return float(np.sqrt(lacking / max(1, n_weights)))


def table(rounds: Iterable[RoundTraffic]) -> str:
    """Write rounds as a table, one in a line.

    Examples
    --------
    >>> print(table([RoundTraffic(0, 1000, 500, 150000, 0.25, 0.5)]))
    round       down         up   ratio  encode s  decode s  resyncs  rejected   change  distortion
        0      1,000        500    100x     0.250     0.500        0         0        0       0.000
    """
    lines = ["round       down         up   ratio  encode s  decode s  resyncs  rejected   change  distortion"]
    lines += [
        f"{r.round:5} {r.down_bytes:10,} {r.up_bytes:10,} {r.ratio:6.0f}x {r.encode_seconds:9.3f}"
        f" {r.decode_seconds:9.3f} {r.resyncs:8} {r.rejected:9} {r.change:8.2g} {r.distortion:11.3f}"
        for r in rounds
    ]
    return "\n".join(lines)


def total(rounds: Iterable[RoundTraffic]) -> RoundTraffic:
    """Add rounds up; change and distortion are the largest.

    Examples
    --------
    >>> both = total([RoundTraffic(0, 10, 20), RoundTraffic(1, 1, 2, resyncs=3)])
    >>> both.round, both.down_bytes, both.up_bytes, both.resyncs
    (2, 11, 22, 3)
    """
    every = list(rounds)
    added = {f.name: sum(getattr(r, f.name) for r in every) for f in fields(RoundTraffic)}
    largest = {name: max((getattr(r, name) for r in every), default=0.0) for name in ("change", "distortion")}
    return RoundTraffic(**{**added, **largest, "round": len(every)})


def draw(rounds: Iterable[RoundTraffic], path: str | Path) -> None:
    """Draw the bytes of each round, beside those of the arrays as they are; needs matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- an optional dependency

    every = list(rounds)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    numbers = [r.round for r in every]
    axes.step(numbers, [r.plain_bytes for r in every], color=_PLAIN_COLOR, where="mid", label="arrays as they are")
    axes.bar(numbers, [r.down_bytes for r in every], color=_OURS_COLOR, label="down")
    below = [r.down_bytes for r in every]
    axes.bar(numbers, [r.up_bytes for r in every], bottom=below, color=_OURS_COLOR, alpha=0.5, label="up")
    axes.set(xlabel="model of the server", ylabel="bytes", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=150)
