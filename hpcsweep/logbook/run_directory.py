"""The life of a run directory: begun under the attempt's own name, published by one rename."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.field_checks import TEXT, integer, mismatch, schema
from hpcsweep.files import DOCUMENT_MAX, make_directory, parse_json, read_regular, remove_tree
from hpcsweep.journal import attempt_json, outcome_json
from hpcsweep.logbook.json_values import json_document
from hpcsweep.logbook.storage import DirectoryStorage, put
from hpcsweep.logbook.yamlwrite import params_yaml
from hpcsweep.recordcheck import ATTEMPT, RANKED_MAX
from hpcsweep.records import Attempt, Outcome, ParamCase, Status
from hpcsweep.sweepdir.plan import attempt_dir, provenance_of

# How often an attempt tries to take a place for which others try, too.
RENAMES_MAX = 100
METRICS = "artifacts/metrics.json"
# What the metadata of every attempt has.
_RANKED = schema({"generation": integer(0, RANKED_MAX), "status": TEXT, "attempt": ATTEMPT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a run directory says of itself, in `metadata.json`."""

    run_id: str
    case: ParamCase
    attempt: Attempt
    # 0-based, in the attempt's submission.
    chunk: int
    # Fingerprint of the frozen manifest.
    manifest: str
    # 128 bits.
    seed: int
    host: str
    # Where its provenance is; with its submission if it is None.
    provenance: str | None = None

    def metadata(self) -> dict[str, Any]:
        """The part of `metadata.json` that is known from the start."""
        return {
            "run_id": self.run_id,
            "case_id": self.case.case_id,
            "index": self.case.index,
            "replicate": self.case.replicate,
            "tags": list(self.case.tags),
            "attempt": attempt_json(self.attempt),
            "generation": self.attempt.generation,
            "token": self.attempt.token,
            "chunk": self.chunk,
            "manifest": self.manifest,
            "seed": f"{self.seed:032x}",
            "host": self.host,
            "provenance": self.provenance or provenance_of(self.attempt.submission),
        }


def begin(path: Path, run: Run, started: str) -> None:
    """Make the attempt's directory. *Writes* `params.yaml`, `metadata.json`."""
    make_directory(path)
    put(f"{path}/params.yaml", params_yaml(run.case.params))
    metadata = run.metadata() | {"status": "initialized", "start_time": started}
    put(f"{path}/metadata.json", json_document(metadata))


def finish(path: Path, run: Run, outcome: Outcome) -> None:
    """Write what became of the attempt, `metadata.json` last. *Safe to repeat.*"""
    for name in ("stdout.txt", "stderr.txt"):
        if (path / name).exists() and not (path / name).stat().st_size:
            (path / name).unlink()
    if outcome.metrics:
        # The target may have put a link at `artifacts`.
        DirectoryStorage(path).write(METRICS, json_document(outcome.metrics))
    metadata = final_metadata(run, outcome, read_metadata(path) or {})
    put(f"{path}/metadata.json", json_document(metadata))


def final_metadata(run: Run, outcome: Outcome, known: dict[str, Any]) -> dict[str, Any]:
    """The `metadata.json` of a run that is over; what the target added to the known one stays."""
    left = outcome_json(outcome)
    left.pop("metrics", None)
    metadata = (known if _is_writable(known) else {}) | run.metadata()
    metadata |= {
        "status": outcome.status.value,
        "start_time": outcome.started,
        "end_time": outcome.ended,
        "runtime_sec": outcome.wall_seconds,
        "outcome": left,
    }
    if outcome.error:
        metadata["failure_reason"] = outcome.error.get("message", "")
    return metadata


def _is_writable(known: dict[str, Any]) -> bool:
    """Whether JSON that was read can be written: half of a surrogate pair can be read alone."""
    try:
        json_document([[known]])  # one level more than where it goes
    except ValueError:  # too deep a nesting, too
        return False
    return True


def publish(sweep: Path, source: Path, final: Path, run: Run, status: Status) -> bool:
    """Give the attempt's directory its place; False when another attempt keeps that place.

    A rename onto a directory that is not empty fails, so of two attempts one wins. An attempt of
    a higher generation, or a complete one over one that is not, first moves the other back.
    """
    # An attempt's directory is in the place or in its own, never in neither. So if a third one
    # takes the place between the look at the other and its move, the other is in its own again,
    # the move meets a directory that is not empty, and fails: nothing is moved under a wrong name.
    make_directory(final.parent)
    for _ in range(RENAMES_MAX):
        if _try_rename(source, final):
            return True
        other = read_metadata(final)
        # Moved back just now; or no attempt of ours, and then it keeps its place.
        if other is None or mismatch(other, _RANKED):
            continue
        if not _outranks(run.attempt, status, other):
            return False
        _try_rename(final, sweep / attempt_dir(run.case.case_id, other["attempt"][3]))
    return False


def retire(checkpoints: Path) -> None:
    """Move what the attempts of a complete run left each other aside: the next one begins anew.

    *Writes* `.<name>.complete` beside it. *Safe to repeat.*
    """
    kept = checkpoints.with_name(f".{checkpoints.name}.complete")
    with contextlib.suppress(OSError):  # as a rule there is none, and it is no reason to fail
        if _try_rename(checkpoints, kept):
            return
        remove_tree(kept)
        _try_rename(checkpoints, kept)


def _try_rename(source: Path, target: Path) -> bool:
    """Whether `source` is no more where it was; False where `target` is taken.

    It may be gone already: another start publishes what it finds complete, and another attempt
    moves back what it outranks.
    """
    try:
        source.rename(target)
    except FileNotFoundError:
        return True
    except OSError as error:
        # ENOTDIR: a file or a link, which is not ours to follow or to remove.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _outranks(mine: Attempt, status: Status, other: dict[str, Any]) -> bool:
    theirs = other["generation"], other["status"] == Status.COMPLETE.value, other["attempt"][1:]
    ours = mine.generation, status is Status.COMPLETE, attempt_json(mine)[1:]
    return ours > theirs


def read_metadata_and_metrics(path: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Metadata and metrics of one attempt, though another may take the place between the looks."""
    for _ in range(RENAMES_MAX):
        metadata = read_metadata(path)
        if metadata is None:
            break
        metrics = read_metrics(path)
        if read_metadata(path) == metadata:
            return metadata, metrics
    return None, None


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The `metadata.json` of a run directory; None where there is none that can be read."""
    try:
        value: dict[str, Any] = parse_json(read_regular(path / "metadata.json", DOCUMENT_MAX))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_metrics(path: Path) -> dict[str, Any] | None:
    """The metrics of a finished run directory; None where they were damaged."""
    try:
        value: dict[str, Any] = parse_json(read_regular(path / METRICS, DOCUMENT_MAX))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
