"""Draws what `rate_distortion` measured: error against rate of both sides, and accuracy against rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import pictures, series

_OURS, _RATIONED, _ORIGINAL = "#1b6ca8", "#2a9d8f", "#444444"
_PEERS = ("#f0b429", "#e07a1f", "#b03a2e")
_MOST_COLUMNS = 3
_RATES = (0.03, 3)  # bits per weight; a search for a qp may begin far away
_LOSSES = (-3, 0.7)  # points of accuracy; what is worse is no use
_CLOSE = 0.2


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw one panel of error for each result, and behind them those of accuracy where it was told.

    Parameters
    ----------
    results
        As ``rate_distortion --json`` prints them.
    path
        Its extension says which kind of picture.
    """
    judged = [result for result in results if result["accuracies"]]
    drawings = [*((draw_errors, result) for result in results), *((draw_accuracies, result) for result in judged)]
    n_columns = min(len(drawings), _MOST_COLUMNS)
    panels = pictures.panels(-(-len(drawings) // n_columns), n_columns)
    for panel in panels.flat[len(drawings) :]:
        panel.set_axis_off()
    for panel, (draw_panel, result) in zip(panels.flat, drawings, strict=False):
        draw_panel(panel, result)
    pictures.save(panels[0, 0], path)


def draw_errors(panel: Any, result: dict[str, Any]) -> None:
    for lambda_scale, colour in zip(lambdas_of(result), _PEERS, strict=False):
        points = [point for point in result["nncodec"] if point["lambda_scale"] == lambda_scale]
        draw_curve(panel, result, points, colour, f"NNCodec 2.1.3, lambda {lambda_scale:g}", "o")
    draw_curve(panel, result, result["ours"], _OURS, "incnnr", "D")
    rate = "" if result["bd_rate"] is None else f", BD-rate {100 * result['bd_rate']:+.1f} %"
    panel.set_title(f"{result['name']}{rate}")
    pictures.finish(panel, xscale="log", yscale="log", xlabel="bits per weight", ylabel="rms error")


def draw_curve(
    panel: Any, result: dict[str, Any], points: Sequence[dict[str, Any]], colour: str, label: str, marker: str
) -> None:
    shown = [(bits_of(result, point), point["rms"]) for point in points]
    within = [(bits, rms) for bits, rms in shown if _RATES[0] <= bits <= _RATES[1]]
    panel.plot(*zip(*within, strict=True), color=colour, marker=marker, markersize=4, label=label)


def draw_accuracies(panel: Any, result: dict[str, Any]) -> None:
    curves = {"one qp": (result["ours"], _OURS, "D"), "one target_bytes": (result["rationed"], _RATIONED, "s")}
    panel.axhspan(-_CLOSE, _CLOSE, color=_ORIGINAL, alpha=0.15, label=f"original, ±{_CLOSE} points")
    for label, (points, colour, marker) in curves.items():
        if not points:
            continue  # the standard's profile takes no target_bytes
        found = sorted((bits_of(result, point), points_gained(result, point)) for point in points)
        panel.plot(*zip(*found, strict=True), color=colour, marker=marker, markersize=4, label=f"incnnr, {label}")
    panel.set_title(f"{result['name']}, test accuracy")
    panel.set(xlim=_RATES, ylim=_LOSSES)
    pictures.finish(
        panel,
        xscale="log",
        xlabel="bits per weight",
        ylabel=f"points more, mean of {len(result['accuracies'])} checkpoints",
    )


def points_gained(result: dict[str, Any], point: dict[str, Any]) -> float:
    """Return how much more accurate decoded checkpoints are, in percent of all images."""
    return 100 * (sum(point["accuracies"]) - sum(result["accuracies"])) / len(result["accuracies"])


def bits_of(result: dict[str, Any], point: dict[str, Any]) -> float:
    return series.bits_per_weight(point["n_bytes"], result["n_weights"])


def lambdas_of(result: dict[str, Any]) -> list[float]:
    return sorted({point["lambda_scale"] for point in result["nncodec"]})
