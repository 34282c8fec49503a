"""`submit` and `plan`."""

from __future__ import annotations

import shlex
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from hpcsweep import chaos
from hpcsweep.cli import show, streams
from hpcsweep.cli.options import (
    Context,
    cluster_option,
    common,
    context,
    manifest_argument,
    sweep_argument,
)
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster, Limits
from hpcsweep.cluster.slurm.text import sbatch
from hpcsweep.errors import Incomplete, PartRefused, SweepError
from hpcsweep.files import token
from hpcsweep.indexset import IndexSet
from hpcsweep.state.manifest_diff import difference
from hpcsweep.state.missing import RERUNS, Missing, Wanted, code_here
from hpcsweep.state.progress import counts_line, progress_bar
from hpcsweep.state.status import Summary, wait
from hpcsweep.state.unstarted import newest
from hpcsweep.submission.submit import (
    Submitted,
    Wish,
    array_for,
    check,
    look,
    make_plan,
    rehearse,
    script_for,
    submit,
)
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.plan import MAX_ARRAY_SIZE, Plan

# Of cases that were computed with other code so many are named.
INDICES_TOLD = 10

# What `plan` says of its figures.
NO_CLUSTER = (
    f"any cluster, neither how large an array may be (MaxArraySize {MAX_ARRAY_SIZE} is Slurm's "
    "default) nor about partition, time, memory and GPUs; `submit --dry-run` asks"
)
script_option = click.option("--script", is_flag=True, help="Print the exact sbatch text.")


@click.command("plan")
@manifest_argument
@script_option
@common
def plan_command(manifest: Path, script: bool, **shared: Any) -> None:
    """Show what a submit would send."""
    here = context(**shared)
    found, source = here.manifest(manifest)
    wish = Wish(manifest=found, source=source, path=here.sweep_path(found))
    _show_plan(here, wish, None, None, script=script)


@click.command("submit")
@manifest_argument
@cluster_option
@click.option("--wait", "waits", is_flag=True, help="Wait until nothing more will happen.")
@click.option("--dry-run", is_flag=True, help="Show the plan and send nothing.")
@click.option("--throttle", type=click.IntRange(min=0), default=0, metavar="N",
              help="At most N array tasks at once.")  # fmt: skip
@click.option("--rerun", type=click.Choice(RERUNS), help="Compute these again, too.")
@click.option("--allow-mixed", is_flag=True, help="Allow another target or seed under this name.")
@click.option(
    "--replace",
    is_flag=True,
    help="Cancel and send anew what waits in the queue with other options.",
)
@click.option("--chaos", "chaos_seed", type=int, metavar="SEED",
              help="Run it to its end under faults on order (emulated cluster).")  # fmt: skip
@script_option
@common
def submit_command(
    manifest: Path, cluster: str | None, waits: bool, dry_run: bool, throttle: int,
    rerun: str | None, allow_mixed: bool, replace: bool, chaos_seed: int | None, script: bool,
    **shared: Any,
) -> None:  # fmt: skip
    """Send what is missing of a sweep to the cluster.

    A finished sweep sends nothing. With --wait the exit code is 0 only when every case is complete.
    """
    if script and not dry_run:
        raise click.UsageError("--script needs --dry-run (or use `hpcsweep plan --script`)")
    here = context(**shared)
    found, source = here.manifest(manifest)
    wish = Wish(
        manifest=found, source=source, path=here.sweep_path(found), throttle=throttle,
        rerun=rerun, allow_mixed=allow_mixed, replace=replace,
    )  # fmt: skip
    opened = registry.choose(cluster or here.settings.cluster, here.settings, wish.path)
    if dry_run:
        registry.prepare(opened, found.resources.options)
        digest = check(wish, opened, partial(click.echo, err=True))
        limits = opened.limits()
        for note in limits.notes:
            click.echo(note, err=True)
        _show_plan(here, wish, opened, limits, script=script, code_digest=digest)
        return
    if chaos_seed is not None:
        _chaos(here, wish, opened, chaos_seed)
        return
    _send(here, wish, opened, waits=waits)


def _chaos(here: Context, wish: Wish, cluster: Cluster, seed: int) -> None:
    """Run under faults on order, and tell what they did; whatever is not complete is an error."""
    say = partial(click.echo, err=True)
    report = chaos.run(wish, cluster, here.settings, seed, say)
    for line in report.lines():
        click.echo(line)
    if not report.accepted.is_once:
        raise SweepError(
            report.accepted.line(),
            where=report.summary.path,
            next_step="Keep this directory: it shows a defect of hpcsweep.",
        )
    if not report.summary.is_complete:
        raise Incomplete(
            f"not every case is complete: {counts_line(report.summary)}",
            where=report.summary.path,
            next_step=f"`hpcsweep logs {report.summary.name} INDEX` says why.",
        )


@click.command("retry")
@sweep_argument
@click.option("--wait", "waits", is_flag=True, help="Wait until nothing more will happen.")
@click.option("--throttle", type=click.IntRange(min=0), default=0, metavar="N",
              help="At most N array tasks at once.")  # fmt: skip
@common
def retry_command(sweep: str, waits: bool, throttle: int, **shared: Any) -> None:
    """Send what failed or is missing, as it was submitted.

    As `submit --rerun failed` does, with the manifest that the sweep keeps.
    """
    here = context(**shared)
    directory = here.sweep(sweep)
    wanted = newest(directory)
    wish = Wish(
        manifest=wanted.manifest, source=wanted.source, path=directory.path, throttle=throttle,
        rerun="failed",
    )  # fmt: skip
    opened = registry.again(directory, here.settings)
    _send(here, wish, opened, waits=waits)


def _send(here: Context, wish: Wish, cluster: Cluster, *, waits: bool) -> None:
    """Submit and perhaps wait, also for what was accepted before a part was refused."""
    try:
        done = _submit(here, wish, cluster)
    except PartRefused as refusal:
        if waits:
            click.echo(f"{refusal.what}; waiting for the parts that were accepted", err=True)
            _watch(here, cluster, SweepDirectory.open(wish.path))
        raise
    if waits:
        _wait(here, wish, cluster, done)


def _submit(here: Context, wish: Wish, cluster: Cluster) -> Submitted:
    done = submit(wish, cluster, here.settings, lambda text: click.echo(text, err=True))
    missing, sweep = done.missing, done.sweep
    if done.plan is None:
        if missing.held:
            click.echo(f"{sweep.name}: nothing to submit, {missing.held.count} cases are under way")
            _tell_cancelled(missing)
        else:
            left = f", {missing.failed.count} failed (--rerun failed)" if missing.failed else ""
            click.echo(f"{sweep.name}: nothing to submit, {missing.complete.count} complete{left}")
    else:
        jobs = ", ".join(done.job_ids)
        click.echo(
            f"{sweep.name}: submission {done.plan.submission}, {done.plan.indices.count} cases in "
            f"{done.plan.chunks} array tasks, job {jobs} on the {cluster.kind} cluster"
        )
    if not wish.replace:
        _tell_queued(missing, wish)
    if missing.stale and wish.rerun is None:
        click.echo(_other_code(missing, wish))
    return done


def _tell_cancelled(missing: Missing) -> None:
    if missing.cancelled and missing.certain_from is not None:
        when = datetime.fromtimestamp(missing.certain_from).strftime("%H:%M:%S")  # noqa: DTZ006  # as a clock on the wall says it
        click.echo(
            f"{missing.cancelled.count} of them are in array tasks that were cancelled: that these "
            f"are over can be certain from {when} on. Submit again then, or --wait for it."
        )


def _tell_queued(missing: Missing, wish: Wish, *, err: bool = False) -> None:
    if missing.queued is not None:
        next_step = "--replace cancels them and sends their cases anew"
        if wish.replace:
            next_step = "they are cancelled, and their cases sent anew"
        click.echo(f"{missing.queued}; {next_step}", err=err)


def _other_code(missing: Missing, wish: Wish) -> str:
    """Whose results are not of the code as it is now, and what becomes of them."""
    count = missing.stale.count
    some = ", ".join(map(str, islice(missing.stale, INDICES_TOLD)))
    more = " …" if count > INDICES_TOLD else ""
    what = f"{count} complete cases were computed with other code (indices {some}{more})"
    return f"{what}; --rerun stale computes them again" if wish.rerun is None else what


def _wait(here: Context, wish: Wish, cluster: Cluster, done: Submitted) -> None:
    """Wait; send once what was in doubtful hands when this command began."""
    summary = _watch(here, cluster, done.sweep)
    held = done.missing.held if done.plan is None else done.missing.cancelled
    if not summary.is_complete and held:
        done = _submit(here, wish, cluster)
        summary = _watch(here, cluster, done.sweep)
    if not summary.is_complete:
        raise Incomplete(
            f"not every case is complete: {counts_line(summary)}",
            where=summary.path,
            next_step=f"`hpcsweep logs {summary.name} INDEX` says why; `hpcsweep submit` sends "
            f"what was interrupted, `hpcsweep retry {summary.name}` also what failed.",
        )
    click.echo(f"{summary.name}: {counts_line(summary)}")


def _watch(here: Context, cluster: Cluster, sweep: SweepDirectory) -> Summary:
    try:
        with progress_bar(show.console(stderr=True)) as update:
            return wait(sweep, cluster, here.settings, update)
    except KeyboardInterrupt:
        click.echo(
            f"\nNo longer waiting; what was submitted goes on. `hpcsweep status {sweep.name}` "
            f"shows it, `hpcsweep cancel {sweep.name}` ends it.",
            err=True,
        )
        raise click.exceptions.Exit(130) from None  # as a shell says it: 128 + SIGINT


def _show_plan(
    here: Context, wish: Wish, cluster: Cluster | None, limits: Limits | None, *, script: bool,
    code_digest: str | None = None,
) -> None:  # fmt: skip
    sweep = SweepDirectory.open(wish.path) if (wish.path / MARKER).is_file() else None
    missing = Missing(indices=IndexSet.all(wish.source.n_cases))
    if sweep is not None and sweep.submissions():
        changed = difference(sweep, wish.manifest, wish.source)
        if changed is not None:
            click.echo(changed)
        wanted = Wanted(sweep=sweep, manifest=wish.manifest, source=wish.source)
        digest = code_digest or code_here(wanted)
        missing = look(wanted, cluster, here.settings, wish.rerun, digest)
    _tell_queued(missing, wish, err=script)
    if missing.stale:
        click.echo(_other_code(missing, wish), err=script)
    if not missing.indices:
        click.echo(
            f"nothing to submit: {missing.complete.count} complete, {missing.failed.count} failed, "
            f"{missing.held.count} under way"
        )
        return
    largest, most = (limits.max_array_size, limits.max_tasks) if limits else (MAX_ARRAY_SIZE, None)
    plan = make_plan(wish, sweep, missing, largest, most)
    unasked = rehearse(wish, sweep, plan, cluster) if cluster else NO_CLUSTER
    if script:
        _show_script(wish, sweep, plan, cluster)
    else:
        show.plan(plan, wish.manifest, wish.source, missing.held.count, missing.complete.count)
        show.say(f"not asked: {unasked}" if unasked else "the cluster would take it")


def _show_script(
    wish: Wish, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster | None
) -> None:
    out, key = streams.document(), sweep.key if sweep else token()
    for part in plan.parts:
        array = array_for(wish.path, key, wish.manifest, plan, part)
        out.write(f"# {cluster.shown(array) if cluster else shlex.join(sbatch(array))}\n")
    out.write(script_for(wish.manifest, wish.path, plan.submission))
