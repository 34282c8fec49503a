"""One case from its begin to its outcome, with its run directory or without."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.files import FULL
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.run_directory import Run
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status
from hpcsweep.worker.command import execute
from hpcsweep.worker.messages import Request
from hpcsweep.worker.slot import Slot

if TYPE_CHECKING:
    from hpcsweep.logbook.spool import Spool
    from hpcsweep.worker.cached import Keeping


def now() -> str:
    """This moment, UTC, as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def make_run(
    manifest: FrozenManifest, case: ParamCase, attempt: Attempt, chunk: int, host: str
) -> Run:
    """What an attempt of a case will say of itself."""
    return Run(
        run_id=ids.run_id(ids.canonical(case.params), case.case_id),
        case=case,
        attempt=attempt,
        chunk=chunk,
        manifest=manifest.fingerprint,
        seed=ids.case_seed(manifest.seed, case.case_id, case.replicate),
        host=host,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt's files go."""

    # The attempt's own directory; None where the manifest says `runs: none`.
    path: Path | None
    # Where it will be published, as the outcome says it.
    run_dir: str | None
    # What the attempts of a case leave each other.
    checkpoints: Path
    # Where a case writes that has no directory, but whose files are kept.
    spool: Spool | None = None
    # Where its result is kept by its params; None in a sweep without a cache.
    keeping: Keeping | None = None


def make_request(run: Run, place: Place, manifest: FrozenManifest) -> Request:
    """What a child is told of a case; a command always gets a directory if files are kept."""
    spool, path = place.spool, None if place.path is None else str(place.path)
    if spool is not None and manifest.target.is_command:
        path, spool = spool.made_directory(), None
    return Request(
        index=run.case.index,
        params=run.case.params,
        case_id=run.case.case_id,
        replicate=run.case.replicate,
        tags=run.case.tags,
        written=run.case.written,
        seed=run.seed,
        run_id=run.run_id,
        run_dir=path,
        checkpoints=str(place.checkpoints),
        spool=None if spool is None else spool.to_json(),
        # In a task a claim has it.
        result_file=f"{path}/result{manifest.cache.file_suffix}" if manifest.cache else None,
    )


def run_case(manifest: FrozenManifest, slot: Slot, run: Run, started: str, place: Place) -> Outcome:
    """Run one case in a slot. *Writes* the attempt's directory, if it has one, and its result."""
    clock = time.monotonic()
    if place.path is not None:
        rundir.begin(place.path, run, started)
    request = make_request(run, place, manifest)
    run_in = place.keeping.execute if place.keeping else execute
    ended = run_in(manifest, slot, request)
    outcome = Outcome(
        status=ended.reason.status if ended.reason else Status.COMPLETE,
        reason=ended.reason,
        metrics=ended.metrics,
        error=None if ended.error is None else redacted(ended.error),
        started=started,
        ended=now(),
        wall_seconds=round(time.monotonic() - clock, 6),
        cpu_seconds=None if ended.cpu_seconds is None else round(ended.cpu_seconds, 6),
        max_rss_bytes=ended.max_rss_bytes,
        code_digest=ended.code_digest,
        run_dir=place.run_dir,
        from_cache=ended.from_cache,
    )
    if place.path is not None:
        try:
            rundir.finish(place.path, run, outcome)
        except (OSError, SweepError) as error:
            return spoiled(outcome, error)
    return outcome


def redacted(error: dict[str, Any]) -> dict[str, Any]:
    """An error without passwords: an exception may name the URL of a database (invariant 21)."""
    from hpcsweep.redact import redact  # noqa: PLC0415  # a case that goes well does without

    return {key: redact(text) if isinstance(text, str) else text for key, text in error.items()}


def spoiled(outcome: Outcome, error: OSError | SweepError) -> Outcome:
    """The outcome of a case that removed or damaged its own run directory.

    *Raises* the error again when it is the disk that is full.
    """
    if getattr(error, "errno", None) in FULL:
        raise error
    if outcome.status is not Status.COMPLETE:
        return replace(outcome, run_dir=None)
    problem = {"type": "RunDirectoryError", "message": f"its run directory is spoiled: {error}"}
    return replace(outcome, status=Status.FAILED, reason=Reason.ERROR, error=problem, run_dir=None)
