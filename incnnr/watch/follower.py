"""Stream -> file: a checkpoint file that always holds the newest entry of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import incnnr.stream
from incnnr import checkpoints
from incnnr.watch.reports import Followed
from incnnr.watch.wakeup import Stop


class Follower:
    """Keeps a checkpoint file at the newest entry of a stream.

    The file is replaced in one step, with the layout of the checkpoint that the entry was made from: a safetensors
    file comes out byte for byte. When several entries are waiting, only the newest of them is written. A follower
    remembers nothing: started again, it goes on with the newest entry, at the cost of decoding from the newest
    keyframe on; and it goes over to the new stream when another takes the place of the one it follows.

    Parameters
    ----------
    stream_path : str or pathlib.Path
        The stream; it need not be there yet.
    output : str or pathlib.Path
        The checkpoint to replace; its extension says the format, see `incnnr.checkpoints.write`.
    poll_seconds : float
        Time between two looks at the stream.
    **options
        ``limits`` and ``threads``, as for `incnnr.open`.

    Examples
    --------
    >>> import tempfile, threading, numpy as np, incnnr.checkpoints, incnnr.stream
    >>> folder, stop = Path(tempfile.mkdtemp()), threading.Event()
    >>> with incnnr.stream.open(folder / "run.incnnr", "w") as writer:
    ...     for value in (1.0, 2.0):
    ...         entry = writer.append({"w": np.full(2, value)})
    >>> for report in Follower(folder / "run.incnnr", folder / "current.npz").run(stop):
    ...     print(report.entry.index, incnnr.checkpoints.read(folder / "current.npz")["w"])
    ...     stop.set()
    1 [2. 2.]
    """

    def __init__(
        self, stream_path: str | Path, output: str | Path, *, poll_seconds: float = 0.2, **options: Any
    ) -> None:
        self._stream_path, self._output = Path(stream_path), Path(output)
        self._options = {"poll_seconds": poll_seconds, **options}

    def run(self, stop: Stop) -> Iterator[Followed]:
        """Follow until `stop` is set or, if the stream is a pipe, until it ends; yield what was written.

        Raises
        ------
        BitstreamError
            The newest entry, or one that it needs, is damaged. The output is what it was.
        CheckpointError
            The output cannot be written.
        """
        with incnnr.stream.open(self._stream_path, follow=True, stop=stop.is_set, **self._options) as stream:
            for model in stream.newest():
                checkpoints.write(self._output, model)
                yield Followed(stream.entries[-1], self._output)
