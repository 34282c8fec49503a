"""A program, `local MANIFEST INDEX OUTPUTS [--pdb] [--answer FILE]`: run one case in this terminal.

It has its seed on the cluster; no journal and no index is written. MANIFEST is the directory of a
frozen manifest. FILE gets the outcome as JSON.
"""

from __future__ import annotations

import json
import os
import pdb
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from hpcsweep import allocation
from hpcsweep.errors import InputError
from hpcsweep.files import json_bytes, make_directory, token
from hpcsweep.journal import now, outcome_json
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.json_values import with_floats, with_words
from hpcsweep.logbook.run_directory import Run
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.provenance import save_provenance
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.sweepdir.directory import local_runs_path
from hpcsweep.terminal_text import visible
from hpcsweep.worker import cpus, report
from hpcsweep.worker.attempt import make_outcome, make_request, make_run, redact_error
from hpcsweep.worker.cgroup import MemoryCgroup
from hpcsweep.worker.checked import Execute, checked
from hpcsweep.worker.child import Server
from hpcsweep.worker.command import Command
from hpcsweep.worker.function import (
    FunctionCalls,
    call_target,
    fixed_values,
    load_function,
    logbook,
)
from hpcsweep.worker.messages import Request
from hpcsweep.worker.outputs import CaseFiles
from hpcsweep.worker.process import Share
from hpcsweep.worker.runner import Runner
from hpcsweep.worker.slot import CaseEnd, Slot

TERM_GRACE_S = 10.0


def run_one(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[ParamCase, Outcome, Path]:
    """Run one case in a run directory outside the sweep's.

    *Raises* InputError for an index that the source does not have.
    *Writes* `<outputs>/<name>.local/log_<run id>.<token>/`.
    """
    run, path = _prepare(manifest, source, index, outputs)
    started, begun = now(), time.monotonic()
    request = _begin(manifest, run, path, started)
    ended = _run_in_slot(manifest, request)
    outcome = make_outcome(ended, started, time.monotonic() - begun)
    return run.case, _finish(path, run, outcome), path


def debug_one(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[ParamCase, Outcome, Path]:
    """Like `run_one`, in this process: an exception of the target opens pdb where it was raised.

    *Raises* InputError for a command.
    """
    if manifest.target.is_command:
        raise InputError("a command cannot be debugged with pdb", where=manifest.target.text)
    run, path = _prepare(manifest, source, index, outputs)
    started = now()
    request = _begin(manifest, run, path, started)
    log = logbook(request)
    reason, error = None, None
    try:
        os.chdir(manifest.root)
        call_target(load_function(manifest), request, log, fixed_values(manifest))
        if log.marked_failed is not None:
            reason, error = Reason.ERROR, {"type": "MarkedFailed", "message": log.marked_failed}
    except Exception as raised:  # noqa: BLE001  # debug whatever the target raises
        sys.stderr.write(visible(traceback.format_exc()))
        pdb.post_mortem(sys.exc_info()[2])
        reason = Reason.ERROR
        error = {"type": type(raised).__name__, "message": str(raised)}
    outcome = Outcome(
        status=reason.status if reason else Status.COMPLETE,
        reason=reason,
        metrics=log.metrics_json,
        error=None if error is None else redact_error(error),
        started=started,
        ended=now(),
    )
    return run.case, _finish(path, run, outcome), path


def local_directory(outputs: Path, manifest: FrozenManifest) -> Path:
    """The directory of the local runs of a manifest, and of its frozen copies."""
    return local_runs_path(outputs / manifest.name)


def case_at(source: ParameterSource, index: int) -> ParamCase:
    """A case of a source. *Raises* InputError for an index that it does not have."""
    try:
        return source[index]
    except IndexError as error:
        raise InputError(str(error), next_step="`hpcsweep plan` shows the cases.") from error


def _prepare(
    manifest: FrozenManifest, source: ParameterSource, index: int, outputs: Path
) -> tuple[Run, Path]:
    """The identity of a new attempt, and its directory."""
    case = case_at(source, index)
    attempt = Attempt(generation=0, submission=0, restart=0, token=token())
    run = make_run(manifest, case, attempt, 0, os.uname().nodename)
    path = local_directory(outputs, manifest).resolve() / f"log_{run.run_id}.{attempt.token[:6]}"
    cpus_of_case = allocation.cpus_of_case(manifest.needs, manifest.resources.cpus)
    cpus.limit_threads(os.environ, cpus_of_case)
    provenance = save_provenance(make_directory(path.parent), Path(manifest.root))
    return run._replace(provenance=provenance), path


def _begin(manifest: FrozenManifest, run: Run, path: Path, started: str) -> Request:
    rundir.begin(path, run, started)
    # Checkpoints of earlier local runs, never those of the sweep.
    checkpoints = path.with_name("checkpoints") / run.case.case_id
    return make_request(manifest, run, CaseFiles(str(path)), checkpoints)


def _run_in_slot(manifest: FrozenManifest, request: Request) -> CaseEnd:
    is_command = manifest.target.is_command
    runner = Runner()
    slot = Slot(
        runner,
        Command(manifest) if is_command else Server(FunctionCalls(manifest)),
        term_grace_s=TERM_GRACE_S,
        case_timeout_s=manifest.case_timeout_s,
        share=Share(memory=MemoryCgroup.find(os.environ.get("SLURM_JOB_ID", ""))),
    )
    try:
        execute: Execute = report.execute if is_command else Slot.run
        if manifest.ok_if:
            execute = checked(execute, manifest.ok_if)
        ended = runner.complete(execute(slot, request))
        runner.complete(slot.close())
    finally:
        slot.kill()
    return ended


def _finish(path: Path, run: Run, outcome: Outcome) -> Outcome:
    outcome = replace(outcome, run_dir=str(path))
    rundir.finish(path, run, outcome)
    return outcome


def index_of(source: ParameterSource, case_id: str) -> int:
    """The index of a case by the start of its id; iterates over the source.

    *Raises* InputError if there is none.
    """
    for case in source:
        if case.case_id.startswith(case_id):
            return case.index
    raise InputError(f"no case id begins with {case_id!r}", next_step="See `hpcsweep collect`.")


def main(arguments: list[str]) -> int:
    """Run the case and print its outcome. Returns the exit code."""
    directory, index, outputs, *options = arguments
    manifest = frozen.read(Path(directory))
    source = frozen.open_source(Path(directory), manifest)
    verb = debug_one if "--pdb" in options else run_one
    case, outcome, path = verb(manifest, source, int(index), Path(outputs))
    if "--answer" in options:
        answer = {"case_id": case.case_id, "outcome": outcome_json(outcome)}
        Path(options[options.index("--answer") + 1]).write_bytes(json_bytes(answer))
    sys.stdout.write(f"case {case.case_id}, index {case.index}: {outcome.status.value}\n")
    sys.stdout.write(json.dumps(with_words(with_floats(outcome.metrics)), indent=2) + "\n")
    if outcome.error:
        text = outcome.error.get("traceback") or outcome.error["message"]
        sys.stderr.write(f"{visible(text)}\n")
    sys.stdout.write(f"run directory: {visible(str(path))}\n")
    return 0 if outcome.status is Status.COMPLETE else 1
