"""What the sender of a bitstream chooses."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from incnnr.quantization import Knob, check_qps, choice

CodebookUse = Literal["never", "auto", "always"]
_LAST_SCAN_ORDER = 4
_FEWEST_BITS = 2
_MOST_OCTAVES = 126


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `incnnr.nnc.encode`; see there.

    Raises
    ------
    ValueError
        An option is out of range, or two contradict each other.
    TypeError
        A quantisation parameter is not an integer.

    Examples
    --------
    >>> Settings(qp={"*.bias": None, "*": -38}).qp_of("fc.weight")
    -38
    """

    qp: Knob = -32
    qp_density: int = 2
    dq: bool = True
    lambda_scale: float = 0.0
    scan_order: int = 0
    opt_qp: bool = False
    bit_depth: int | None = None
    codebook: CodebookUse = "never"
    predict: bool = False
    device_id: int = 0

    def __post_init__(self) -> None:
        check_qps(self.qp)
        _check_range("qp_density", self.qp_density, range(8))
        _check_range("scan_order", self.scan_order, range(_LAST_SCAN_ORDER + 1))
        _check_range("device_id", self.device_id, range(1 << 31))
        if self.bit_depth is not None:
            _check_range("bit_depth", self.bit_depth, range(_FEWEST_BITS, 32))
        if not 0 <= self.lambda_scale < float("inf"):
            raise ValueError(f"lambda_scale must be finite and not negative, not {self.lambda_scale!r}")
        if self.codebook not in ("never", "auto", "always"):
            raise ValueError(f"codebook is 'never', 'auto' or 'always', not {self.codebook!r}")
        if self.opt_qp and self.bit_depth is not None:
            raise ValueError("give opt_qp or bit_depth, not both")

    @property
    def dependent(self) -> bool:
        """Whether quantisation is dependent; two bits leave it too few levels."""
        return self.dq and self.bit_depth != _FEWEST_BITS

    def qp_of(self, name: str) -> int | None:
        """Quantisation parameter that was asked for; None for exact.

        Raises
        ------
        ValueError
            Its step size is out of the range of float32.
        """
        qp = choice(self.qp, name)
        if qp is None:
            return None
        if not -_MOST_OCTAVES <= qp / (1 << self.qp_density) < _MOST_OCTAVES:
            raise ValueError(f"the step size of qp {qp} at density {self.qp_density} is no float32")
        return int(qp)


def _check_range(name: str, value: int, allowed: range) -> None:
    if not isinstance(value, Integral) or value not in allowed:
        raise ValueError(f"{name} must be in {allowed.start}..{allowed.stop - 1}, not {value!r}")
