"""`submit`: submit the missing cases of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import (
    cluster_option,
    common,
    json_option,
    manifest_argument,
    script_option,
    selection_options,
    throttle_option,
    wait_option,
)
from hpcsweep.records import RERUNS

if TYPE_CHECKING:
    from hpcsweep.cli.context import Context
    from hpcsweep.cli.sending import Prints
    from hpcsweep.cluster.base import Cluster
    from hpcsweep.submission.request import SubmitRequest
    from hpcsweep.sweepdir.directory import SweepDirectory
    from hpcsweep.tables.selection import Selection


@click.command(
    "submit",
    epilog=examples(
        "hpcsweep submit manifest.yaml",
        "hpcsweep submit manifest.yaml --cluster emulated --wait",
        "hpcsweep submit manifest.yaml --dry-run --script",
        "hpcsweep submit manifest.yaml --rerun failed --cases 3,7,10-20",
    ),
)
@manifest_argument
@cluster_option
@wait_option
@click.option("--dry-run", is_flag=True, help="Show the plan and send nothing.")
@throttle_option
@click.option("--rerun", type=click.Choice(RERUNS), help="Compute these again, too.")
@selection_options
@click.option("--allow-mixed", is_flag=True, help="Allow another target or seed under this name.")
@click.option(
    "--replace",
    is_flag=True,
    help="Cancel and send anew what waits in the queue with other options.",
)
@click.option(
    "--chaos",
    "chaos_seed",
    type=int,
    metavar="SEED",
    help="Run it to its end under injected faults (emulated cluster).",
)
@click.option(
    "--canary",
    type=click.IntRange(min=0),
    metavar="N",
    help="Send N cases first; the others when one of them is complete. 0 for none.",
)
@script_option
@click.option(
    "--after",
    metavar="SWEEP",
    help="Send it when every case of this sweep is complete (settled, if `source:` says so).",
    shell_complete=completion.sweeps,
)
@click.option(
    "--parsable", is_flag=True, help="Print nothing but the job ids of the arrays, one a line."
)
@json_option
@common
def command(
    manifest: Path,
    cluster: str | None,
    waits: bool,
    dry_run: bool,
    throttle: int,
    rerun: str | None,
    allow_mixed: bool,
    replace: bool,
    chaos_seed: int | None,
    canary: int | None,
    script: bool,
    after: str | None,
    parsable: bool,
    as_json: bool,
    selection: Selection,
    **shared: Any,
) -> None:
    """Submit the missing cases of a sweep to the cluster.

    A finished sweep sends nothing. With --wait the exit code is 0 only when every case is complete.
    """
    from hpcsweep.cli.selecting import selected
    from hpcsweep.cli.sending import send
    from hpcsweep.cluster import registry
    from hpcsweep.submission.next_batch import version_at
    from hpcsweep.submission.request import SubmitRequest
    from hpcsweep.sweepdir.version import Version

    _check_options(
        selection,
        is_chaos=chaos_seed is not None,
        dry_run=dry_run,
        parsable=parsable,
        as_json=as_json,
        script=script,
    )
    if canary is not None:
        shared["sets"] = (*shared["sets"], f"canary={canary}")
    context = load_context(**shared)
    is_chaos = chaos_seed is not None
    other = None if after is None else context.sweep(after, manifest.parent)
    if other is not None:
        _refuse_with_after(waits, dry_run, parsable, as_json, rerun, replace, selection, is_chaos)
        if _submit_after(context, manifest, other, cluster, throttle):
            return
    frozen, source = context.manifest(manifest)
    path = context.sweep_path(frozen, manifest)
    version = version_at(Version.of(frozen, source), path)
    request = SubmitRequest(
        manifest=version.manifest,
        source=version.source,
        path=path,
        file=manifest,
        throttle=throttle,
        rerun=rerun,
        selection=selected(selection, version, path),
        allow_mixed=allow_mixed,
        replace=replace,
        at_once=parsable,  # jobs of the user's own shall wait for all of it
    )
    if other is not None and cluster is None:
        opened = registry.require_recorded(other, context.settings)
    else:
        opened = registry.choose(cluster or context.settings.cluster, context.settings, path)
    if dry_run:
        _show(context, request, opened, script=script, as_json=as_json)
    elif chaos_seed is not None:
        _run_chaos(context, request, opened, chaos_seed)
    else:
        prints: Prints = "job ids" if parsable else "document" if as_json else "lines"
        send(context, request, opened, waits=waits, prints=prints)


def _check_options(
    selection: Selection,
    *,
    is_chaos: bool,
    dry_run: bool,
    parsable: bool,
    as_json: bool,
    script: bool,
) -> None:
    """*Raises* UsageError for options that cannot stand together."""
    if is_chaos and selection:
        raise click.UsageError(f"--chaos runs every case: leave out {selection}")
    if parsable and (dry_run or is_chaos):
        raise click.UsageError("--parsable needs a submission: leave out --dry-run and --chaos")
    if as_json and (parsable or is_chaos):
        raise click.UsageError("--json prints what was submitted: leave out --parsable and --chaos")
    if script and not dry_run:
        raise click.UsageError("--script needs --dry-run (or use `hpcsweep plan --script`)")


def _submit_after(
    context: Context, path: Path, other: SweepDirectory, cluster: str | None, throttle: int
) -> bool:
    """Have a manifest submitted when `other` is over; False if it is already."""
    from hpcsweep.cli.notices import notify
    from hpcsweep.submission.after import submit_after
    from hpcsweep.submission.followers import Follower
    from hpcsweep.submission.request import SubmitRequest

    manifest, source, awaited, when = context.manifest_after(path, other)
    own = context.sweep_path(manifest, path)
    request = SubmitRequest(manifest=manifest, source=source, path=own, throttle=throttle)
    follower = Follower(request=request, source=awaited, when=when)
    lines = submit_after(follower, other, cluster, context.settings, notify)
    for line in lines or ():
        click.echo(line)
    return lines is not None


def _refuse_with_after(*others: object) -> None:
    """*Raises* UsageError if one of these options was given."""
    if any(others):
        raise click.UsageError(
            "--after sends a whole sweep later: of the options of a submission it takes --cluster "
            "and --throttle"
        )


def _show(
    context: Context, request: SubmitRequest, cluster: Cluster, *, script: bool, as_json: bool
) -> None:
    """Check manifest, target and cluster, and show the plan."""
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.planning import print_planned
    from hpcsweep.submission.planning import planned

    found = planned(request, cluster, context.settings, notify, scripts=script)
    print_planned(found, script=script, as_json=as_json)


def _run_chaos(context: Context, request: SubmitRequest, cluster: Cluster, seed: int) -> None:
    """Run under injected faults, and report them. *Raises* Incomplete, SweepError."""
    from hpcsweep import chaos
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.render.chaos import print_report
    from hpcsweep.errors import Incomplete, SweepError
    from hpcsweep.sweepdir.locate import argument_for

    report = chaos.run(request, cluster, context.settings, seed, notify)
    print_report(report)
    if not report.accepted.is_once:
        raise SweepError(
            report.accepted.line(),
            where=report.summary.path,
            next_step="Keep this directory: it shows a defect of hpcsweep.",
        )
    if not report.summary.is_complete:
        argument = argument_for(report.summary.name, report.summary.path)
        raise Incomplete(
            f"not every case is complete: {report.summary.counts_text}",
            where=report.summary.path,
            next_step=f"`hpcsweep logs {argument} INDEX` says why.",
        )
