"""A slow decoder of ISO/IEC 15938-17 bitstreams, written from iso.md alone.

Each module is one section of that page and says which; start with ``bitstream.decode``. It believes all sizes.
"""
