"""Follow the log of a case: what its files get, attempt after attempt, until it has ended.

By polling, since no notice of a change crosses a network file system.
"""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hpcsweep.cluster.base import Cluster
from hpcsweep.files import open_regular
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.runfiles import RunFiles
from hpcsweep.manifest.policies import Policies
from hpcsweep.runs.attempts import line
from hpcsweep.runs.find import run_files
from hpcsweep.runs.logs import FILES, last_task_logs
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.state.standstill import has_closing_job, to_send
from hpcsweep.state.status import poll_pause
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory

# Most bytes of a file in one piece.
PIECE_BYTES = 1 << 20


class LogPiece(NamedTuple):
    """Something new about a case.

    Examples:
        >>> piece = next(sweep.follow_log(0))
        >>> isinstance(piece, hs.LogPiece), piece.to_json()
        (True, {'where': '', 'text': 'index 0: complete\\n'})
    """

    # The file that got it; "" for a line about the case or its attempts.
    where: str
    text: str

    def to_json(self) -> dict[str, str]:
        """The file and the text.

        Examples:
            >>> hs.LogPiece("log.txt", "begins").to_json()
            {'where': 'log.txt', 'text': 'begins'}
        """
        return self._asdict()


def follow_log(
    sweep: SweepDirectory, index: int, cluster: Cluster | None, settings: Settings
) -> Iterator[LogPiece]:
    """What the files of a case hold, and what they get, until it has ended.

    A case that is requeued or retried goes on with the files of its next attempt. Polls the cluster
    as seldom as `status`. *Raises* SweepError, StoreError. *Writes* as `status`.
    """
    followed = _Followed(sweep)
    state = ""
    is_own = cluster is not None and cluster.is_own
    while True:
        begun = time.monotonic()
        look = _look(sweep, index, cluster, settings)
        if look.state != state:
            state = look.state
            yield LogPiece("", f"index {index}: {state}\n")
        # Read after the state: an ended case has written all it will.
        yield from followed.news(index, look)
        if look.has_ended:
            return
        time.sleep(poll_pause(time.monotonic() - begun, is_own=is_own))


class _Look(NamedTuple):
    """A case at one moment."""

    # For people: "running", "failed: exit_code".
    state: str
    has_ended: bool
    # Its row of the index, and those of its attempts; None and [] before the first began.
    row: IndexRow | None
    attempts: list[IndexRow]


def _look(sweep: SweepDirectory, index: int, cluster: Cluster | None, settings: Settings) -> _Look:
    only = IndexSet.of([index])
    with fresh_index(sweep) as sweep_index:
        outlook = outlook_of(sweep, sweep_index, poll(sweep, sweep_index, cluster, settings))
        (group,) = outlook.within(only).groups
        row = next(sweep_index.rows(within=only), None)
        attempts = list(sweep_index.attempts(only))
    words = [group.state.value, group.reason.value if group.reason else ""]
    goes_on = _is_sent_again(sweep, outlook, index, cluster, settings)
    return _Look(
        state=": ".join(filter(None, words)),
        has_ended=not goes_on and _has_ended(outlook, group.state, index),
        row=row,
        attempts=attempts,
    )


def _has_ended(outlook: Outlook, state: State, index: int) -> bool:
    """Whether no task has the case, or none will come to it."""
    if state in (State.INTERRUPTED, State.UNSUBMITTED):
        return index not in outlook.in_flight
    return state in (State.COMPLETE, State.STALE, State.LOST, State.FAILED)


def _is_sent_again(
    sweep: SweepDirectory,
    outlook: Outlook,
    index: int,
    cluster: Cluster | None,
    settings: Settings,
) -> bool:
    """Whether a closing job will send the case, again or for the first time."""
    retry = Policies.from_json(outlook.version.manifest.policies).retry
    return index in to_send(outlook, retry) and has_closing_job(sweep, cluster, settings)


class _Followed:
    """The files of a case, and how far each was read."""

    def __init__(self, sweep: SweepDirectory) -> None:
        self._sweep = sweep
        # By attempt and name: a run directory moves when it is published.
        self._tails: dict[tuple[str, str], _Tail] = {}
        # The number of the last attempt that was announced.
        self._attempt = 0

    def news(self, index: int, look: _Look) -> Iterator[LogPiece]:
        """What was added since the last call."""
        for attempt in look.attempts:
            if attempt["number"] > self._attempt:
                self._attempt = attempt["number"]
                plan, _ = self._sweep.plan(attempt["submission"])
                yield LogPiece("", line(attempt, self._sweep.resources(plan)) + "\n")
        files = None if look.row is None else run_files(self._sweep, look.row)
        token = look.row["token"] if look.row else ""
        for name in FILES if files else ():
            tail = self._tails.setdefault((token, name), _Tail())
            where = str((files and files.path(name)) or f"{files and files.label}/{name}")
            yield from (LogPiece(where, text) for text in tail.news(files, name))
        for path in last_task_logs(self._sweep, index, look.row):
            tail = self._tails.setdefault(("", str(path)), _Tail())
            yield from (LogPiece(self._sweep.shown(path), text) for text in tail.of_path(path))


@dataclass(slots=True)
class _Tail:
    """How far a file was read."""

    offset: int = 0
    # Keeps the beginning of a character whose rest was not written yet.
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def news(self, files: RunFiles | None, name: str) -> Iterator[str]:
        """What a file of a run got; a packed one is read when its run is complete."""
        path = files.path(name) if files else None
        if path is not None:
            yield from self.of_path(path)
        elif files is not None and not self.offset:
            data = files.read(name) or b""
            self.offset = len(data)
            yield from filter(None, [self.decoder.decode(data)])

    def of_path(self, path: Path) -> Iterator[str]:
        """What a file got; a shorter one was written anew. A missing one has nothing."""
        try:
            with open_regular(path) as stream:
                if os.fstat(stream.fileno()).st_size < self.offset:
                    self.offset = 0
                stream.seek(self.offset)
                while data := stream.read(PIECE_BYTES):
                    self.offset += len(data)
                    yield from filter(None, [self.decoder.decode(data)])
        except OSError:  # it moves while its run is published
            return
