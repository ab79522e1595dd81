"""Checkpoint files and folders: named tensors, and a layout from which the same files can be made again."""

from incnnr.checkpoints.checkpoint import Checkpoint
from incnnr.checkpoints.order import find, step_of
from incnnr.checkpoints.registry import files_of, is_checkpoint, is_complete, read, write

__all__ = ["Checkpoint", "files_of", "find", "is_checkpoint", "is_complete", "read", "step_of", "write"]
