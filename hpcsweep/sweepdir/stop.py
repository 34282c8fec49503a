"""The circuit breaker on disk: failures that tasks count together, and the fact that it stopped.

    stops/stop.json          the sweep is stopped: no task begins another case
    stops/failures/          one empty file for each failed case: INDEX.DIGEST of its error
    stops/held.json          what was held in the queue
    stops/resumed-0001.json  a user went on, and these failures no longer count

Tasks count without the index: on a network file system they do not write it (invariant 23).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict
from zlib import crc32

from hpcsweep.field_checks import LIST, NUMBER, TEXT, TRUTH, integer, schema
from hpcsweep.files import names
from hpcsweep.sweepdir.plan import read_fact

STOPS = "stops"
# Characters of a message that tell errors apart: behind them it often has the case's own values.
HEAD_CHARACTERS = 80


class _CanaryFields(TypedDict, total=False):
    # Whether the canary failed: then `failures` counts its cases, and `kind` has their reasons.
    canary: bool


class StopFact(_CanaryFields):
    """A sweep was stopped."""

    # Seconds of the epoch.
    time: float
    # Count of failed cases, and what they have in common: "" if they need nothing in common.
    failures: int
    kind: str


class HeldFact(TypedDict):
    """Array tasks were held, as `scontrol` names them."""

    time: float
    tasks: list[str]


class ResumedFact(TypedDict):
    """A user went on. Failures of these indices up to this submission no longer count."""

    time: float
    submission: int
    manifest: str
    # Half-open ranges.
    failed: list[list[int]]


_STOP = schema({"time": NUMBER, "failures": integer(), "kind": TEXT}, {"canary": TRUTH})
_HELD = schema({"time": NUMBER, "tasks": LIST})
_RESUMED = schema({"time": NUMBER, "submission": integer(), "manifest": TEXT, "failed": LIST})


def stop_path(sweep: Path) -> Path:
    """Exists while the sweep is stopped."""
    return sweep / STOPS / "stop.json"


def held_path(sweep: Path) -> Path:
    """What the breaker held in the queue."""
    return sweep / STOPS / "held.json"


def failure_marks(sweep: Path) -> Path:
    """The directory in which tasks mark failed cases."""
    return sweep / STOPS / "failures"


def next_resumed_path(sweep: Path) -> Path:
    """The file for the next time that a user goes on."""
    return sweep / STOPS / f"resumed-{len(_resumed(sweep)) + 1:04d}.json"


def error_kind(reason: str, error: dict[str, Any] | None) -> str:
    """What equal failures have in common: the type of the error and the head of its message."""
    error = error or {}
    kind, message = str(error.get("type") or reason), str(error.get("message") or "")
    head = message.partition("\n")[0][:HEAD_CHARACTERS].strip()
    return f"{kind}: {head}" if head else kind


def kind_digest(kind: str) -> str:
    """8 hex digits, for the name of a mark."""
    return f"{crc32(kind.encode(errors='replace')):08x}"


def stop_fact(sweep: Path) -> StopFact | None:
    """Why the sweep is stopped; None if it is not. *Raises* Damaged."""
    fact: StopFact | None = _read(stop_path(sweep), _STOP)
    return fact


def held_fact(sweep: Path) -> HeldFact | None:
    """What the breaker held; None for nothing. *Raises* Damaged."""
    fact: HeldFact | None = _read(held_path(sweep), _HELD)
    return fact


def last_resumed(sweep: Path) -> ResumedFact | None:
    """When a user last went on; None if none did. *Raises* Damaged."""
    names = _resumed(sweep)
    fact: ResumedFact | None = _read(sweep / STOPS / names[-1], _RESUMED) if names else None
    return fact


def _resumed(sweep: Path) -> list[str]:
    return [name for name in names(sweep / STOPS) if name.startswith("resumed-")]


def _read(path: Path, schema: Any) -> Any:
    # A listing shows what another node created; an NFS client caches the absence of a file.
    if path.name not in names(path.parent):
        return None
    return read_fact(path, schema)
