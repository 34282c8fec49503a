"""Submit: freeze, check, plan, write, and hand one array per part to the cluster.

The order of the writes is what makes a kill at any moment harmless (DESIGN invariant 8): plan and
script, then an intent with a unique job name, then sbatch, then the job id, each a new file.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Array, Cluster, Limits
from hpcsweep.cluster.slurm.script import Script
from hpcsweep.errors import ClusterError, ClusterUnavailable, PartRefused, SweepError
from hpcsweep.files import UndoLog, json_bytes, names, remove_tree, token, write_new
from hpcsweep.import_guard import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.provenance import provenance
from hpcsweep.records import Part
from hpcsweep.settings import Settings
from hpcsweep.sources import ParameterSource
from hpcsweep.state.manifest_diff import Difference, difference, refuse_mixing, reorders
from hpcsweep.state.missing import Missing, Wanted, what_is_missing
from hpcsweep.state.queued import take_out
from hpcsweep.state.scheduler import observe
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.ingest import STORE_NAME, fresh_store
from hpcsweep.store.location import SQLITE
from hpcsweep.submission.preflight import Checked, preflight
from hpcsweep.submission.reconcile import job_name, resolve_unanswered
from hpcsweep.submission.turns import Turn, changing
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import PROVENANCE, Layout, Plan, chunk_size_for, make_parts

SCRIPT_NAME = "array.sbatch"
# A task writes a beat at least this often, seconds.
BEAT_S = 60.0
# Share of KillWait in which a task's child may end by itself before it is killed; the rest is for
# writing what is known.
TERM_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the user wants submitted, and how."""

    manifest: FrozenManifest
    # With replicates.
    source: ParameterSource
    # The sweep directory, which may not exist yet.
    path: Path
    # Highest count of array tasks at once; 0 for no throttle.
    throttle: int = 0
    # None, or one of RERUNS.
    rerun: str | None = None
    # Whether another target or seed under the same name is fine.
    allow_mixed: bool = False
    # Whether queued tasks that this manifest would send otherwise are cancelled and sent anew.
    replace: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """What a submit did."""

    sweep: SweepDirectory
    missing: Missing
    # None when there was nothing to submit.
    plan: Plan | None = None
    # By part.
    job_ids: list[str] = field(default_factory=list)
    # From the cases of the submission before; None where they are the same.
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class _Act:
    """One submit under its lock."""

    wish: Wish
    sweep: SweepDirectory
    cluster: Cluster
    limits: Limits
    settings: Settings
    # The user's code and the packages as the fresh interpreter saw them.
    checked: Checked
    say: Callable[[str], None]
    turn: Turn
    # What is taken back after an error, unless there is doubt.
    made: UndoLog
    doubt: _Doubt


def submit(
    wish: Wish, cluster: Cluster, settings: Settings, say: Callable[[str], None] = lambda _: None
) -> Submitted:
    """Submit what is missing. *Safe to repeat*: what is finished or under way is not sent again.

    *Raises* every branch of `errors`. *Writes* the sweep directory; on an error before anything
    can have been accepted it leaves nothing that was not there before.
    """
    refuse_while_importing("submit")
    cluster.prepare(wish.manifest.resources.options)
    for note in cluster.check_options(wish.manifest.resources.options, wish.throttle):
        say(note)
    limits = cluster.limits()
    for note in limits.notes:
        say(note)
    doubt = _Doubt()
    manifest, source = wish.manifest, wish.source
    mine = changing(wish.path, manifest.name, manifest.share, doubt, say)
    with mine as (sweep, turn, made):
        if not wish.allow_mixed:
            refuse_mixing(sweep, manifest)
        changed = difference(sweep, manifest, source)
        if changed is not None:
            say(str(changed))
        _clean(sweep)
        frozen.write(sweep.path, manifest, source, made)
        checked = preflight(sweep, manifest, source, cluster.environment)
        act = _Act(wish, sweep, cluster, limits, settings, checked, say, turn, made, doubt)
        return replace(_submit_missing(act), difference=changed)


class _Doubt:
    """True from the moment at which the cluster may have accepted something."""

    def __init__(self) -> None:
        self.is_raised = False

    def __bool__(self) -> bool:
        return self.is_raised


def check(wish: Wish, cluster: Cluster, say: Callable[[str], None] = lambda _: None) -> str:
    """Check all that a submit checks of manifest and target, and leave nothing behind.

    Returns the digest of the user's code. *Raises* TargetError, SweepError, InputError.
    """
    for note in cluster.check_options(wish.manifest.resources.options, wish.throttle):
        say(note)
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        sweep = SweepDirectory.create(Path(temporary) / "sweep", wish.manifest.name)
        frozen.write(sweep.path, wish.manifest, wish.source)
        checked = preflight(sweep, wish.manifest, wish.source, cluster.environment)
        return checked.code_digest


def rehearse(wish: Wish, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster) -> str:
    """Let the cluster say whether it would take the first part, which is its largest one.

    Returns why it could not be asked, empty when it would. *Raises* ClusterError when it would not.
    """
    key = sweep.key if sweep else token()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        script = Path(temporary) / SCRIPT_NAME
        script.write_text(script_for(wish.manifest, wish.path, plan.submission))
        array = array_for(wish.path, key, wish.manifest, plan, plan.parts[0])
        return cluster.test_only(replace(array, script=str(script)))


def look(
    wanted: Wanted,
    cluster: Cluster | None,
    settings: Settings,
    rerun: str | None,
    code_digest: str | None,
) -> Missing:
    """What is missing of a manifest, from journals and cluster. *Writes* the store, verdicts."""
    with fresh_store(wanted.sweep) as store:
        view = observe(wanted.sweep, store, cluster, settings)
        return what_is_missing(wanted, store, view, rerun, code_digest)


def make_plan(
    wish: Wish, sweep: SweepDirectory | None, missing: Missing, max_array_size: int,
    max_tasks: int | None = None,
) -> Plan:  # fmt: skip
    """The plan for what is missing. Pure, but for reading the sweep's earlier plans."""
    numbers = sweep.submissions() if sweep else []
    previous = sweep.plan(numbers[-1])[0].layout if sweep and numbers else None
    count = missing.indices.count
    chunk_size = chunk_size_for(count, wish.manifest.chunk, max_tasks, max_array_size)
    chunks = -(-count // chunk_size)
    number = (numbers[-1] if numbers else 0) + 1
    if max(number, missing.generation) > RANKED_MAX:
        raise SweepError(
            f"has {RANKED_MAX} submissions, and can have no more",
            where=str(wish.path),
            next_step="Give the manifest another name.",
        )
    return Plan(
        submission=number,
        manifest=wish.manifest.fingerprint,
        indices=missing.indices,
        chunk_size=chunk_size,
        parts=make_parts(chunks, max_array_size=max_array_size, throttle=wish.throttle),
        layout=Layout.choose(wish.manifest.runs, wish.source.n_cases, previous),
        generation=missing.generation,
    )


def script_for(manifest: FrozenManifest, path: Path, submission: int) -> str:
    """The exact text of the batch script."""
    return Script(
        sweep_name=manifest.name,
        options=manifest.resources.options,
        setup=manifest.setup,
        python=sys.executable,
        sweep_dir=str(path.resolve()),
        submission=submission,
    ).render()


def array_for(sweep: Path, key: str, manifest: FrozenManifest, plan: Plan, part: Part) -> Array:
    """What one part hands in."""
    root, number = sweep.resolve(), f"{plan.submission:04d}"
    return Array(
        part=part,
        job_name=job_name(manifest.name, key, plan.submission, part.number),
        script=str(root / "submissions" / number / SCRIPT_NAME),
        logs=str(root / "logs" / number),
        journals=str(root / "journal" / number),
        directory=manifest.root,
        options=manifest.resources.options,
    )


def _submit_missing(act: _Act) -> Submitted:
    wish, sweep = act.wish, act.sweep
    every = IndexSet.all(wish.source.n_cases)
    missing = Missing(indices=every)
    if sweep.submissions():
        resolve_unanswered(sweep, act.cluster, act.settings, act.say)
        wanted = Wanted(sweep=sweep, manifest=wish.manifest, source=wish.source)
        digest = act.checked.code_digest
        missing = look(wanted, act.cluster, act.settings, wish.rerun, digest)
        if wish.replace and missing.queued is not None:
            act.turn.check()
            with fresh_store(sweep) as store:
                count = take_out(missing.queued, sweep, store, act.cluster)
            act.say(f"{count} queued array tasks were cancelled, to be sent anew.")
            missing = look(wanted, act.cluster, act.settings, wish.rerun, digest)
    if not missing.indices and not reorders(sweep, wish.manifest):
        return Submitted(sweep=sweep, missing=missing)
    plan = make_plan(wish, sweep, missing, act.limits.max_array_size, act.limits.max_tasks)
    _write_submission(act, plan)
    job_ids = [_hand_in(act, plan, part) for part in plan.parts]
    if not plan.parts:  # it says in which order the cases are from now on, and nothing else
        return Submitted(sweep=sweep, missing=missing)
    return Submitted(sweep=sweep, missing=missing, plan=plan, job_ids=job_ids)


def _clean(sweep: SweepDirectory) -> None:
    """Remove what a killed submit had only begun to write."""
    for parent in (sweep.path / "submissions", sweep.path / "manifests"):
        for name in names(parent):
            if name.startswith("."):
                remove_tree(parent / name)


def _write_submission(act: _Act, plan: Plan) -> None:
    """Write plan and script, whole and durable, under a name that appears at once."""
    sweep, made = act.sweep, act.made
    shared_file = act.wish.manifest.store == SQLITE and not is_local(sweep.path)
    document = plan.to_json() | {
        "cluster": registry.record(act.cluster, act.limits.cluster_name),
        "code_digest": act.checked.code_digest,
        "code_files": act.checked.code_files,
        "python": sys.executable,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "worker": {
            "beat_s": BEAT_S,
            # On a network file system no task writes a SQLite store (invariant 23).
            "ingest": not shared_file,
            "ingest_interval_s": act.settings.ingest_interval_s,
            "ingest_deadline_s": act.settings.ingest_deadline_s,
            "term_grace_s": min(act.settings.term_grace_s, act.limits.kill_wait_s * TERM_SHARE),
        },
    }
    # Slurm would fail a task whose output directory is missing without a word (0:53).
    made.directory(sweep.log_dir(plan.submission))
    made.directory(sweep.journal_dir(plan.submission))
    made.directory(sweep.path / "runs" / ".attempts")
    folder = sweep.submission_dir(plan.submission)
    made.directory(folder.parent)
    with made.whole(folder) as temporary:
        script = script_for(act.wish.manifest, sweep.path, plan.submission)
        write_new(temporary / SCRIPT_NAME, script.encode())
        write_new(temporary / "plan.json", json_bytes(document))
        origin = provenance(Path(act.wish.manifest.root), act.checked.packages)
        write_new(temporary / PROVENANCE, json_bytes(origin))
    if shared_file:
        return
    if act.wish.manifest.store == SQLITE:
        with contextlib.suppress(FileExistsError):
            made.file(sweep.path / STORE_NAME, b"")
    with fresh_store(sweep):  # making the store is a command's work, never a task's
        pass


def _hand_in(act: _Act, plan: Plan, part: Part) -> str:
    sweep, doubt = act.sweep, act.doubt
    array = array_for(sweep.path, sweep.key, act.wish.manifest, plan, part)
    act.turn.check()
    intent = {"job_name": array.job_name, "time": time.time()}
    act.made.file(sweep.part_file(plan.submission, part.number, "intent"), json_bytes(intent))
    was_in_doubt = bool(doubt)
    doubt.is_raised = True
    try:
        job_id = act.cluster.submit(array, act.say)
    except ClusterUnavailable as error:
        error.next_step = (
            "It is not known whether the array was accepted. Run the same command again: it finds "
            "out first, and sends nothing twice."
        )
        raise
    except ClusterError as error:
        doubt.is_raised = was_in_doubt
        if not was_in_doubt:
            error.next_step += " Nothing was submitted."
            raise
        _fact(sweep, plan, part, "void", {"why": "refused", "time": time.time()})
        raise PartRefused(
            error.what,
            next_step=f"{error.next_step} Parts before number {part.number} of submission "
            f"{plan.submission} were accepted; the same command sends the rest.",
        ) from error
    _fact(sweep, plan, part, "job", {"job_id": job_id, "time": time.time()})
    return job_id


def _fact(sweep: SweepDirectory, plan: Plan, part: Part, what: str, fact: dict[str, Any]) -> None:
    write_new(sweep.part_file(plan.submission, part.number, what), json_bytes(fact))
