"""The run directory of a case: begun under the attempt's own name, published by one rename."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any, NamedTuple

from hpcsweep.field_checks import TEXT, integer, mismatch, schema
from hpcsweep.files import DOCUMENT_MAX, make_directory, parse_json, read_regular, remove_tree
from hpcsweep.journal import VERSION, attempt_json, attempt_rank, outcome_json
from hpcsweep.logbook.json_values import json_document
from hpcsweep.logbook.storage import DirectoryStorage, create, put
from hpcsweep.logbook.yamlwrite import params_yaml
from hpcsweep.recordcheck import ATTEMPT, RANKED_MAX
from hpcsweep.records import Attempt, Outcome, ParamCase, Status, error_text
from hpcsweep.sweepdir.plan import attempt_dir, provenance_of

# Attempts to publish a run while other attempts publish the same one.
RENAMES_MAX = 100
METRICS = "artifacts/metrics.json"
# Fields that `begin` writes besides those of `Run.metadata`.
_OF_BEGIN = {"status", "start_time"}
# Fields that metadata and an `end` record have in common.
_COMMON = ("manifest", "attempt", "chunk", "index", "case_id", "host")
# Fields that the metadata of every attempt has.
_RANKED = schema({"generation": integer(0, RANKED_MAX), "status": TEXT, "attempt": ATTEMPT})


class Run(NamedTuple):
    """The identity of a run, as `metadata.json` records it."""

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
    # The scheduler's id of the array task; "" where there is none.
    job_id: str = ""
    # Path of its provenance file; None means the file of its submission.
    provenance: str | None = None

    def metadata(self) -> dict[str, Any]:
        """The fields of `metadata.json` that are known at the start."""
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
    """Create the attempt's directory. *Writes* `params.yaml`, `metadata.json`."""
    make_directory(path)
    create(f"{path}/params.yaml", params_yaml(run.case.params))
    metadata = run.metadata() | {"status": "initialized", "start_time": started}
    put(f"{path}/metadata.json", json_document(metadata))


def finish(path: Path, run: Run, outcome: Outcome) -> None:
    """Write the outcome of the attempt, `metadata.json` last. *Safe to repeat.*"""
    for name in ("stdout.txt", "stderr.txt"):
        printed = f"{path}/{name}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not os.stat(printed).st_size:  # noqa: PTH116  # a Path costs as much as the call
                os.unlink(printed)  # noqa: PTH108
    if outcome.metrics:
        # `DirectoryStorage` checks the path: the target may have put a link at `artifacts`.
        DirectoryStorage(path).write(METRICS, json_document(outcome.metrics))
    metadata = final_metadata(run, outcome, read_metadata(path) or {})
    put(f"{path}/metadata.json", json_document(metadata))


def final_metadata(run: Run, outcome: Outcome, written: dict[str, Any]) -> dict[str, Any]:
    """The `metadata.json` of a finished run; fields that the target added are kept."""
    left = outcome_json(outcome)
    left.pop("metrics", None)
    if run.job_id:  # beside the fields of the target, which may have a `job_id` of its own
        left["job_id"] = run.job_id
    ours = run.metadata()
    more = {name: value for name, value in written.items() if name not in ours}
    metadata = (more if _is_writable(more) else {}) | ours
    metadata |= {
        "status": outcome.status.value,
        "start_time": outcome.started,
        "end_time": outcome.ended,
        "runtime_sec": outcome.wall_seconds,
        "outcome": left,
    }
    if outcome.error:
        metadata["failure_reason"] = error_text(outcome.error)
    return metadata


def _is_writable(metadata: dict[str, Any]) -> bool:
    """Whether parsed JSON can be written again. A lone surrogate can be parsed but not encoded."""
    if metadata.keys() <= _OF_BEGIN:
        return True
    try:
        json_document([[metadata]])  # one level more than its final position
    except ValueError:  # also raised for nesting that is too deep
        return False
    return True


def publish(sweep: Path, source: Path, final: Path, run: Run, status: Status) -> bool:
    """Publish the attempt's directory; returns False if another attempt keeps the published one.

    Renaming onto a non-empty directory fails, so of two attempts one wins. An attempt of a higher
    generation, or a complete one over an incomplete one, first moves the other back.
    """
    # A directory is always either published or under its attempt's own name. If a third attempt
    # publishes between the read of the other's metadata and its move, the other is back under its
    # own name; the move then meets a non-empty directory and fails. No directory gets a wrong name.
    make_directory(final.parent)
    for _ in range(RENAMES_MAX):
        if try_rename(source, final):
            return True
        other = read_metadata(final)
        # The other was just moved back; or it is not an attempt of ours, and then it stays.
        if other is None or mismatch(other, _RANKED):
            continue
        if not _outranks(run.attempt, status, other):
            return False
        try_rename(final, sweep / attempt_dir(run.case.case_id, other["attempt"][3]))
    return False


def retire_checkpoints(checkpoints: Path) -> None:
    """Move the checkpoints of a complete run aside: the next attempt starts from the beginning.

    *Writes* `.<name>.complete` beside it. *Safe to repeat.*
    """
    retired = retired_checkpoints(checkpoints)
    with contextlib.suppress(OSError):  # usually there are none; never fails the case
        if try_rename(checkpoints, retired):
            return
        remove_tree(retired)
        try_rename(checkpoints, retired)


def retired_checkpoints(checkpoints: Path) -> Path:
    """Where `retire_checkpoints` moves them."""
    return checkpoints.with_name(f".{checkpoints.name}.complete")


def try_rename(source: Path, target: Path) -> bool:
    """Rename a directory. Returns False if `target` exists, True if `source` is gone afterwards.

    `source` may be gone already: another start publishes a directory that it finds complete, and
    another attempt moves back one that it outranks.
    """
    try:
        source.rename(target)
    except FileNotFoundError:
        return True
    except OSError as error:
        # ENOTDIR: the target is a file or a link; do not follow or remove it.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _outranks(own: Attempt, status: Status, other: dict[str, Any]) -> bool:
    theirs = attempt_rank(other["attempt"], other["status"] == Status.COMPLETE.value)
    return attempt_rank(attempt_json(own), status is Status.COMPLETE) > theirs


def end_fields(
    metadata: dict[str, Any], outcome: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """What the files of a finished run say of its `end` record; nothing is checked yet."""
    common = {name: metadata.get(name) for name in _COMMON}
    return outcome | common | {"metrics": metrics, "kind": "end", "v": VERSION}


def read_metadata_and_metrics(path: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Metadata and metrics of the same attempt, although another may publish between two reads."""
    for _ in range(RENAMES_MAX):
        metadata = read_metadata(path)
        if metadata is None:
            break
        metrics = read_metrics(path)
        if read_metadata(path) == metadata:
            return metadata, metrics
    return None, None


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The `metadata.json` of a run directory; None if it is missing or unreadable."""
    try:
        value: dict[str, Any] = parse_json(read_regular(path / "metadata.json", DOCUMENT_MAX))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_metrics(path: Path) -> dict[str, Any] | None:
    """The metrics of a finished run directory; None if they are damaged."""
    try:
        value: dict[str, Any] = parse_json(read_regular(path / METRICS, DOCUMENT_MAX))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
