"""Send a neural network once, and from then on only what changed."""

from incnnr import nnc, testing
from incnnr.checkpoints import Checkpoint, read, write
from incnnr.errors import IncnnrError
from incnnr.incremental import Decoder, Encoder, Update
from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.stream import open  # noqa: A004 -- as gzip.open
from incnnr.tensors import Model

__all__ = [
    "Checkpoint",
    "Decoder",
    "Encoder",
    "IncnnrError",
    "Limits",
    "Model",
    "Position",
    "Update",
    "nnc",
    "open",
    "read",
    "testing",
    "write",
]
