"""The coarsest steps whose results meet a relative error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from incnnr.incremental.standard_tensors import SentTensor
from incnnr.nnc.plans import quantization_of
from incnnr.nnc.settings import Settings
from incnnr.quantization import coarsest_qp, quantize


@dataclass(slots=True)
class _Bracket:
    """Between the coarsest quantisation parameter that is known to do and the finest that is known not to."""

    allowed: range
    start: int
    octave: int
    good: int | None = None
    bad: int | None = None

    def probe(self) -> int | None:
        """Return what to try next: octaves, until one does and the next does not, then in between."""
        if self.good is None:
            wanted = self.start if self.bad is None else self.bad - self.octave
        elif self.bad is None:
            wanted = self.good + self.octave
        else:
            wanted = (self.good + self.bad) // 2
        return wanted if wanted in self.allowed and wanted != self.good else None

    def learn(self, qp: int, *, is_good: bool) -> None:
        if is_good:
            self.good = qp
        else:
            self.bad = qp


def coarsest_qps(tensors: Mapping[str, SentTensor], settings: Settings, threads: int) -> dict[str, int]:
    """Find quantisation parameters of the tensors whose relative error is bounded.

    Returns
    -------
    dict of str to int
        By name; of the results, the bound holds. Tensors for which there is none are not in it.
    """
    brackets = {name: b for name, tensor in tensors.items() if (b := _bracket(tensor, settings)) is not None}
    while probes := {name: qp for name, bracket in brackets.items() if (qp := bracket.probe()) is not None}:
        parameters = [tensors[name].parameter(name, qp) for name, qp in probes.items()]
        jobs = [quantization_of(parameter, 0, settings, dependent=settings.dependent) for parameter in parameters]
        for (name, qp), levels in zip(probes.items(), quantize(jobs, threads), strict=True):
            tensor = tensors[name]
            is_good = tensor.is_good(tensor.deviation(tensor.result(qp, levels, settings)))
            brackets[name].learn(qp, is_good=is_good)
    return {name: bracket.good for name, bracket in brackets.items() if bracket.good is not None}


def _bracket(tensor: SentTensor, settings: Settings) -> _Bracket | None:
    """Begin where the step is as large as the error may be."""
    error, allowed = tensor.largest_rms(), tensor.qps(settings)
    if not error or not allowed:
        return None
    start = min(max(coarsest_qp(error, settings.qp_density), allowed.start), allowed.stop - 1)
    return _Bracket(allowed, start, 1 << settings.qp_density)
