"""Flower apps with updates on the wire: one line for the clients, one for the server.

::

    app = ClientApp(mods=[ClientMod()])                           # first, so that clipping and noise come before coding
    strategy.start(grid=CompressedGrid(grid), initial_arrays=...)

Works with every strategy, wrapper and main loop of the Message API of Flower 1.26 or newer, since it is the grid that
is wrapped. A message that has arrays gets one blob in their place.
"""

from incnnr.federated.flower.client import ClientMod
from incnnr.federated.flower.grid import WrappedGrid
from incnnr.federated.flower.server import CompressedGrid

__all__ = ["ClientMod", "CompressedGrid", "WrappedGrid"]
