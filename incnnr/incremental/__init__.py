"""The stateful codec: checkpoints in, updates out, and the same weights back. Bytes only; no files, no clock."""

from incnnr.incremental.chunks import UpdateChunks
from incnnr.incremental.decoder import Decoder
from incnnr.incremental.encoder import Encoder
from incnnr.incremental.update import Update, UpdateStats

__all__ = ["Decoder", "Encoder", "Update", "UpdateChunks", "UpdateStats"]
