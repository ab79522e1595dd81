"""A slow decoder of profile ``incnnr`` and of the stream file, written from bitstream.md, state.md and stream.md alone.

Each module is one section of those pages and says which; start with ``update.decode`` and ``stream.read``.
"""
