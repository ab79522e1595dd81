"""Draws what `rate_distortion` measured: error against rate of both sides, and accuracy against rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import pictures, series

_OURS, _ORIGINAL = "#1b6ca8", "#444444"
_PEERS = ("#f0b429", "#e07a1f", "#b03a2e")


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw one panel of error for each result, and below it one of accuracy if there is any.

    Parameters
    ----------
    results
        As ``rate_distortion --json`` prints them.
    path
        Its extension says which kind of picture.
    """
    n_rows = 2 if any(result["accuracies"] for result in results) else 1
    panels = pictures.panels(n_rows, len(results))
    for column, result in enumerate(results):
        draw_errors(panels[0, column], result)
        if n_rows == 2:
            draw_accuracies(panels[1, column], result)
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
    within = [(bits, rms) for bits, rms in shown if 0.03 <= bits <= 3]  # a search for a qp may begin far away
    panel.plot(*zip(*within, strict=True), color=colour, marker=marker, markersize=4, label=label)


def draw_accuracies(panel: Any, result: dict[str, Any]) -> None:
    if not result["accuracies"]:
        panel.set_axis_off()
        return
    n = len(result["accuracies"])
    rates = [bits_of(result, point) for point in result["ours"]]
    means = [100 * sum(point["accuracies"]) / n for point in result["ours"]]
    panel.axhline(100 * sum(result["accuracies"]) / n, color=_ORIGINAL, linestyle="--", label="original")
    panel.plot(rates, means, color=_OURS, marker="D", markersize=4, label="incnnr, decoded")
    panel.yaxis.set_major_formatter("{x:.2f}")
    pictures.finish(panel, xscale="log", xlabel="bits per weight", ylabel=f"mean accuracy of {n} checkpoints, %")


def bits_of(result: dict[str, Any], point: dict[str, Any]) -> float:
    return series.bits_per_weight(point["n_bytes"], result["n_weights"])


def lambdas_of(result: dict[str, Any]) -> list[float]:
    return sorted({point["lambda_scale"] for point in result["nncodec"]})
