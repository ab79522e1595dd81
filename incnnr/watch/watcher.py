"""Folder -> stream: every checkpoint that appears in a folder becomes one entry, in order, once, and never half."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from incnnr.checkpoints import Checkpoint, read
from incnnr.errors import CheckpointError
from incnnr.stream import StreamWriter
from incnnr.watch.identity import Known, append, content_digest
from incnnr.watch.ready import CHANGING, INCOMPLETE, reason_to_wait
from incnnr.watch.reports import (
    Encoded,
    EventsLost,
    Failed,
    FolderMissing,
    FolderReturned,
    Repeated,
    Report,
    Vanished,
    Waiting,
)
from incnnr.watch.scan import Candidate, Signature, is_missed, scan, signature_of
from incnnr.watch.wakeup import BURST_SECONDS, Events, Polling, Stop, Wakeup

QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
GIVE_UP_SECONDS = 30.0

SOONEST_SECONDS = 0.01

_HELD_BACK = "an earlier checkpoint is still being written"
_IS_CHECKPOINT = "this folder is itself a checkpoint, in shards: encode it, or watch the folder that holds it"
_UNREADABLE = (OSError, ValueError, TypeError)
_UNENCODABLE = (CheckpointError, ValueError, TypeError)
"""What a bad checkpoint raises while it is appended. Any other error is the stream's own and ends the watch."""


@dataclass(slots=True)
class _Sighting:
    """A candidate that is not in the stream yet, as seen until now; times by the watcher's clock, in seconds."""

    signature: Signature
    began: float
    changed: float
    reason: str | None = None
    reported: set[str] = field(default_factory=set)


class _Never:
    def is_set(self) -> bool:
        return False


class Watcher:
    """Turns a folder of checkpoints into a stream.

    A look at the folder (`rescan`) is the whole truth; everything else only decides when to look. What is in the
    stream already is read from its entries, so a watcher may be killed at any moment and started again.

    An entry's identity is (relative name, content): a name with new content is a new entry, known content under
    another name is reported and not repeated. A checkpoint deleted from the folder stays in the stream.

    Checkpoints found ready together are encoded in the order of `incnnr.watch.scan`: by step where their names have
    one, else by modification time. One that is ready is held back while another that precedes it in this order,
    and began to appear no later, is not ready but has changed less than `patience_seconds` ago: two writers at work
    then still give a stream in order, while a crashed one cannot stop it, and a run that started again at an earlier
    step never holds back what the run before it wrote.

    Parameters
    ----------
    folder : str or pathlib.Path
        What to watch. Checkpoints are looked for directly in it: files, and folders that are one. If it is itself one
        in shards, that is reported as a `Failed` checkpoint with the name ``.``.
    writer : StreamWriter
        Open for appending; the caller closes it.
    match, ignore : iterables of str
        Glob patterns on relative names: take only these, and none of those.
    ready_marker : str or None
        Glob pattern of a file that says a checkpoint is complete; the rule is in `incnnr.watch.ready`.
    quiet_seconds : float
        How long a checkpoint must lie unchanged before it is read.
    patience_seconds : float
        How long after its last change an unfinished checkpoint holds back later ones.
    give_up_seconds : float
        How long after its last change one that is still incomplete is reported as failed. A writer that takes it up
        again later is served all the same.
    clock, sleep : callables
        Monotonic seconds, and a way to let them pass.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.checkpoints, incnnr.stream
    >>> folder = Path(tempfile.mkdtemp())
    >>> incnnr.checkpoints.write(folder / "step7.npz", {"w": np.arange(4.0)})
    >>> with incnnr.stream.open(folder / "run.incnnr", "a") as writer:
    ...     for report in Watcher(folder, writer, quiet_seconds=0).rescan():
    ...         print(type(report).__name__, report.entry.name, report.entry.step)
    Encoded step7.npz 7
    """

    def __init__(
        self,
        folder: str | Path,
        writer: StreamWriter,
        *,
        match: Iterable[str] = (),
        ignore: Iterable[str] = (),
        ready_marker: str | None = None,
        quiet_seconds: float = QUIET_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        give_up_seconds: float = GIVE_UP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = Path(folder)
        self._writer = writer
        self._match, self._ignore = tuple(match), tuple(ignore)
        self._ready_marker = ready_marker
        self._quiet_seconds, self._patience_seconds = quiet_seconds, patience_seconds
        self._give_up_seconds = give_up_seconds
        self._clock, self._sleep = clock, sleep
        self._known = Known(writer.entries)
        self._settled: dict[str, Signature] = {}
        self._sightings: dict[str, _Sighting] = {}
        self._repeated: set[tuple[str, str]] = set()
        self._folder_is_missing = self._folder_is_missed = False

    def rescan(self) -> list[Report]:
        """Look once: encode what is ready, remember what is not.

        Returns
        -------
        list of Report
            What happened since the last look, in order. Looking again at an unchanged folder reports nothing new
            except what the passing of time brings about.

        Raises
        ------
        OSError, StateError
            The stream cannot be written. A bad checkpoint raises nothing: it is a `Failed` report.
        """
        return list(self._look(_Never(), self._give_up_seconds))

    def catch_up(self, stop: Stop | None = None) -> Iterator[Report]:
        """Look until nothing is left that waiting could make ready, yielding reports as they come.

        What is quiet and still incomplete is given up at once.

        Raises
        ------
        OSError, StateError
            The stream cannot be written.
        """
        stop = stop or _Never()
        yield from self._look(stop, self._quiet_seconds)
        while not stop.is_set() and (seconds := self._due_seconds(self._quiet_seconds)) is not None:
            self._sleep(min(seconds, BURST_SECONDS))
            yield from self._look(stop, self._quiet_seconds)

    def run(self, stop: Stop, poll: float | None = None) -> Iterator[Report]:
        """Look again and again, yielding reports as they come, until `stop` is set.

        Parameters
        ----------
        stop : threading.Event or alike
            Looked at between checkpoints and several times a second in between: the update in hand is finished.
        poll : float, optional
            Look every so many seconds and ignore file events, which network mounts do not send.

        Raises
        ------
        OSError, StateError
            The stream cannot be written.
        """
        wakeup: Wakeup = Events(self._folder) if poll is None else Polling(poll)
        with wakeup:
            while not stop.is_set():
                lost = wakeup.subscribe()
                if lost is not None:
                    yield EventsLost(lost)
                yield from self._look(stop, self._give_up_seconds)
                wakeup.wait(stop, self._due_seconds(self._give_up_seconds))

    def _look(self, stop: Stop, give_up_seconds: float) -> Iterator[Report]:
        try:
            candidates = scan(self._folder, self._match, self._ignore)
        except OSError as error:
            if not self._folder_is_missing:
                self._folder_is_missing = True
                yield FolderMissing(self._folder, error.strerror or str(error))
            return
        if self._folder_is_missing:
            self._folder_is_missing = False
            yield FolderReturned(self._folder)
        yield from self._look_at_folder()
        pending = [candidate for candidate in candidates if not self._is_settled(candidate)]
        yield from self._forget(pending, candidates)
        self._observe(pending)
        for candidate in pending:
            was_ready = self._sightings[candidate.name].reason is None
            yield from self._advance(candidate, give_up_seconds)
            changed_while_read = was_ready and candidate.name in self._sightings
            if changed_while_read or stop.is_set():
                return  # what comes later may have to wait for it now; the next look says

    def _look_at_folder(self) -> Iterator[Failed]:
        """Say once of a folder that is itself a checkpoint that nothing will come of it."""
        was_missed, self._folder_is_missed = self._folder_is_missed, is_missed(self._folder, self._match, self._ignore)
        if self._folder_is_missed and not was_missed:
            yield Failed(".", _IS_CHECKPOINT)

    def _is_settled(self, candidate: Candidate) -> bool:
        """Whether these very files were dealt with: in this run, or (known by sizes and times) before it."""
        if candidate.name not in self._settled and candidate.name not in self._sightings:
            if not self._known.recognizes(candidate):
                return False
            self._settled[candidate.name] = candidate.signature
        return self._settled.get(candidate.name) == candidate.signature

    def _forget(self, pending: list[Candidate], candidates: list[Candidate]) -> Iterator[Report]:
        """Drop the sightings of what is gone, and of what became again what it was when it was dealt with."""
        there = {candidate.name for candidate in candidates}
        for name in self._sightings.keys() - {candidate.name for candidate in pending}:
            del self._sightings[name]
            if name not in there:
                yield Vanished(name)

    def _observe(self, pending: list[Candidate]) -> None:
        """Bring every sighting up to date, with the reason why its candidate has to wait, if any."""
        now = self._clock()
        for candidate in pending:
            seen = self._sightings.setdefault(candidate.name, _Sighting(candidate.signature, now, now))
            if seen.signature != candidate.signature:
                seen.signature, seen.changed = candidate.signature, now
            seen.reason = reason_to_wait(candidate, now - seen.changed, self._quiet_seconds, self._ready_marker)
        unready: list[_Sighting] = []
        for candidate in pending:
            seen = self._sightings[candidate.name]
            if seen.reason is not None:
                unready.append(seen)
            elif any(self._holds_back(earlier, seen, now) for earlier in unready):
                seen.reason = _HELD_BACK

    def _holds_back(self, earlier: _Sighting, later: _Sighting, now: float) -> bool:
        return earlier.began <= later.began and now - earlier.changed < self._patience_seconds

    def _advance(self, candidate: Candidate, give_up_seconds: float) -> Iterator[Report]:
        seen = self._sightings[candidate.name]
        if seen.reason is None:
            yield from self._take(candidate)
        elif seen.reason == INCOMPLETE and self._clock() - seen.changed >= give_up_seconds:
            self._settle(candidate)
            yield Failed(candidate.name, _what_is_missing(candidate.path))
        elif seen.reason not in seen.reported and not self._is_routine(seen):
            seen.reported.add(seen.reason)
            yield Waiting(candidate.name, seen.reason)

    def _is_routine(self, seen: _Sighting) -> bool:
        """Whether a wait needs no word: every checkpoint has to be quiet for a while."""
        return seen.reason == CHANGING and self._clock() - seen.began < self._patience_seconds

    def _take(self, candidate: Candidate) -> Iterator[Report]:
        """Read a checkpoint that looks ready, and encode it if it stayed the same all the while."""
        try:
            digest = content_digest(candidate.path, candidate.signature)
            entry = self._known.entry_of(digest)
            checkpoint = read(candidate.path, memory_map=False) if entry is None else None
        except _UNREADABLE as error:
            if self._stayed(candidate):
                yield self._fail(candidate, error)
            return
        if not self._stayed(candidate):
            return
        if checkpoint is not None:
            yield self._append(candidate, digest, checkpoint)
            return
        self._settle(candidate)
        if entry is not None and (candidate.name, digest) not in self._repeated and candidate.name != entry.name:
            self._repeated.add((candidate.name, digest))
            yield Repeated(candidate.name, entry)

    def _append(self, candidate: Candidate, digest: str, checkpoint: Checkpoint) -> Report:
        try:
            entry = append(self._writer, checkpoint, candidate, digest)
        except _UNENCODABLE as error:
            return self._fail(candidate, error)
        self._known.add(entry)
        self._settle(candidate)
        return Encoded(candidate.name, entry, checkpoint.ignored)

    def _stayed(self, candidate: Candidate) -> bool:
        """Whether the files are those that were scanned; if not, whatever was read of them is void: look again."""
        if signature_of(candidate.path) == candidate.signature:
            return True
        seen = self._sightings[candidate.name]
        seen.changed, seen.reason = self._clock(), CHANGING
        return False

    def _fail(self, candidate: Candidate, error: Exception) -> Failed:
        self._settle(candidate)
        said = error.strerror if isinstance(error, OSError) else None  # a CheckpointError has none
        return Failed(candidate.name, said or str(error) or type(error).__name__)

    def _settle(self, candidate: Candidate) -> None:
        self._settled[candidate.name] = candidate.signature
        del self._sightings[candidate.name]

    def _due_seconds(self, give_up_seconds: float) -> float | None:
        """Seconds until time alone may change what a look finds; None if only the folder can."""
        if self._folder_is_missing:
            return None
        now, sightings = self._clock(), self._sightings.values()
        due = [seen.changed + self._quiet_seconds for seen in sightings if seen.reason == CHANGING]
        due += [seen.changed + give_up_seconds for seen in sightings if seen.reason == INCOMPLETE]
        if any(seen.reason == _HELD_BACK for seen in sightings):
            unready = [seen for seen in sightings if seen.reason not in (None, _HELD_BACK)]
            patient_until = (seen.changed + self._patience_seconds for seen in unready)
            due.append(min((until for until in patient_until if until > now), default=now))
        return max(min(due) - now, SOONEST_SECONDS) if due else None


def _what_is_missing(path: Path) -> str:
    """Ask the reader what is wrong with an incomplete checkpoint; it says it best."""
    try:
        read(path, memory_map=False)
    except _UNREADABLE as error:
        return str(error)
    return f"{path}: {INCOMPLETE}"
