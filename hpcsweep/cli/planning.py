"""Show what a submit would send, for `plan` and `submit --dry-run`."""

from __future__ import annotations

import shlex
from itertools import islice

import click

from hpcsweep.cli import streams
from hpcsweep.cli.context import Context
from hpcsweep.cli.notices import notify
from hpcsweep.cli.render.console import print_line
from hpcsweep.cli.render.plan import print_plan
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.slurm.text import sbatch
from hpcsweep.files import token
from hpcsweep.indexset import IndexSet
from hpcsweep.state.manifest_diff import difference
from hpcsweep.state.missing import Missing, Wanted, code_here
from hpcsweep.submission.submit import Wish, array_for, look, make_plan, rehearse, script_for
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.plan import MAX_ARRAY_SIZE, Plan

# Of cases that were computed with other code so many are named.
INDICES_NAMED = 10
# What `plan` says of its figures.
NO_CLUSTER = (
    f"any cluster, neither how large an array may be (MaxArraySize {MAX_ARRAY_SIZE} is Slurm's "
    "default) nor about partition, time, memory and GPUs; `submit --dry-run` asks"
)


def show_plan(
    here: Context, wish: Wish, cluster: Cluster | None, *, script: bool,
    code_digest: str | None = None,
) -> None:  # fmt: skip
    """Print the plan or its script; ask the cluster, if there is one, what it would say."""
    limits = cluster.limits() if cluster else None
    for note in limits.notes if limits else ():
        notify(note)
    sweep = SweepDirectory.open(wish.path) if (wish.path / MARKER).is_file() else None
    missing = Missing(indices=IndexSet.all(wish.source.n_cases))
    if sweep is not None and sweep.submissions():
        changed = difference(sweep, wish.manifest, wish.source)
        if changed is not None:
            click.echo(changed)
        wanted = Wanted(sweep=sweep, manifest=wish.manifest, source=wish.source)
        digest = code_digest or code_here(wanted)
        missing = look(wanted, cluster, here.settings, wish.rerun, digest)
    report_queued(missing, wish, err=script)
    if missing.stale:
        click.echo(other_code(missing, wish), err=script)
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
        print_plan(plan, wish.manifest, wish.source, missing.held.count, missing.complete.count)
        print_line(f"not asked: {unasked}" if unasked else "the cluster would take it")


def _show_script(
    wish: Wish, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster | None
) -> None:
    out, key = streams.document(), sweep.key if sweep else token()
    for part in plan.parts:
        array = array_for(wish.path, key, wish.manifest, plan, part)
        out.write(f"# {cluster.command(array) if cluster else shlex.join(sbatch(array))}\n")
    out.write(script_for(wish.manifest, wish.path, plan.submission))


def report_queued(missing: Missing, wish: Wish, *, err: bool = False) -> None:
    """Print which array tasks wait with other options, and what becomes of them."""
    if missing.queued is not None:
        next_step = "--replace cancels them and sends their cases anew"
        if wish.replace:
            next_step = "they are cancelled, and their cases sent anew"
        click.echo(f"{missing.queued}; {next_step}", err=err)


def other_code(missing: Missing, wish: Wish) -> str:
    """Whose results are not of the code as it is now, and what becomes of them."""
    count = missing.stale.count
    some = ", ".join(map(str, islice(missing.stale, INDICES_NAMED)))
    more = " …" if count > INDICES_NAMED else ""
    what = f"{count} complete cases were computed with other code (indices {some}{more})"
    return f"{what}; --rerun stale computes them again" if wish.rerun is None else what
