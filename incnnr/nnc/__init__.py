"""The NNR/NNC bitstream (ISO/IEC 15938-17): units, and the bits in them."""
