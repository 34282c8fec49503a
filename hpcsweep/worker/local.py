"""One case, here and now, with the seed it has on the cluster; journal and store untouched."""

from __future__ import annotations

import os
import pdb
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from hpcsweep import target
from hpcsweep.errors import InputError
from hpcsweep.files import make_directory, token
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.provenance import save_provenance
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.worker import cpus
from hpcsweep.worker.attempt import Place, make_request, make_run, now, redacted, run_case
from hpcsweep.worker.function import call_target, logbook
from hpcsweep.worker.signals import Signals
from hpcsweep.worker.slot import Slot


def run_one(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[ParamCase, Outcome, Path]:
    """Run one case and leave its run directory apart from the sweep's.

    *Raises* InputError for an index that the source does not have.
    *Writes* `<outputs>/<name>.local/log_<run id>.<token>/`.
    """
    run, path, place = _prepared(manifest, source, index, outputs)
    slot = Slot(manifest, Signals(), term_grace_s=10.0, beat_s=60.0, beat=lambda: None)
    try:
        outcome = run_case(manifest, slot, run, now(), place)
        slot.close()
    finally:
        slot.kill()
    return run.case, outcome, path


def debug_one(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[ParamCase, Outcome, Path]:
    """As `run_one`, in this process: an exception of the target opens pdb where it was raised.

    *Raises* InputError for a command, which is no Python.
    """
    if manifest.target.is_command:
        raise InputError("a command cannot be debugged with pdb", where=manifest.target.text)
    run, path, place = _prepared(manifest, source, index, outputs)
    started = now()
    rundir.begin(path, run, started)
    request = make_request(run, place, manifest)
    log = logbook(request)
    reason, error = None, None
    try:
        os.chdir(manifest.root)
        call_target(target.load(manifest), request, log)
        if log.marked_failed is not None:
            reason, error = Reason.ERROR, {"type": "MarkedFailed", "message": log.marked_failed}
    except Exception as raised:  # noqa: BLE001  # whatever the target raises is what one looks for
        traceback.print_exc()
        pdb.post_mortem(sys.exc_info()[2])
        reason = Reason.ERROR
        error = {"type": type(raised).__name__, "message": str(raised)}
    outcome = Outcome(
        status=reason.status if reason else Status.COMPLETE,
        reason=reason,
        metrics=log.metrics,
        error=None if error is None else redacted(error),
        started=started,
        ended=now(),
        run_dir=place.run_dir,
    )
    rundir.finish(path, run, outcome)
    return run.case, outcome, path


def _prepared(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[rundir.Run, Path, Place]:
    try:
        case = source[index]
    except IndexError as error:
        raise InputError(str(error), next_step="`hpcsweep plan` shows the cases.") from error
    attempt = Attempt(generation=0, submission=0, restart=0, token=token())
    run = make_run(manifest, case, attempt, 0, os.uname().nodename)
    path = (outputs / f"{manifest.name}.local" / f"log_{run.run_id}.{attempt.token[:6]}").resolve()
    cpus.limit_threads(os.environ, manifest.resources.cpus_per_case)
    # Those of earlier runs here, never the sweep's: this run is apart.
    checkpoints = path.with_name("checkpoints") / case.case_id
    run = replace(run, provenance=save_provenance(make_directory(path.parent), Path(manifest.root)))
    return run, path, Place(path, str(path), checkpoints)


def index_of(source: ParameterSource, case_id: str) -> int:
    """The index of a case by the start of its id, by going through the source.

    *Raises* InputError when there is none.
    """
    for case in source:
        if case.case_id.startswith(case_id):
            return case.index
    raise InputError(f"no case id begins with {case_id!r}", next_step="See `hpcsweep collect`.")
