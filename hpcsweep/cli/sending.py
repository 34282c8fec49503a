"""Submit and optionally wait, for `submit` and `retry`, and print the progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import Literal

import click
from rich.console import Console

from hpcsweep.cli import streams
from hpcsweep.cli.context import Context
from hpcsweep.cli.notices import notify
from hpcsweep.cli.render.console import print_document
from hpcsweep.cli.render.plan import (
    case_seconds,
    sized_options,
    tasks_text,
    what_goes_before,
)
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import Incomplete, PartRefused
from hpcsweep.indexset import IndexSet
from hpcsweep.progress import progress_bar
from hpcsweep.quantities import counted
from hpcsweep.state.given_up import given_up, given_up_lines
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.status import Checks, status, wait
from hpcsweep.state.summary import Summary
from hpcsweep.submission.advance import follow
from hpcsweep.submission.closing_run import advance_or_run_again
from hpcsweep.submission.notices import notices
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.stages import submit_stages
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.terminal_text import one_line

# What standard output has of a submission.
Prints = Literal["lines", "job ids", "document"]


def send(
    context: Context,
    request: SubmitRequest,
    cluster: Cluster,
    *,
    waits: bool,
    prints: Prints = "lines",
) -> None:
    """Submit and optionally wait, also for the parts accepted before a refused one.

    With "job ids" standard output has those of the sweep's arrays, and nothing else; with
    "document" that of the submission.
    """
    err = prints != "lines"
    try:
        done = _submit(context, request, cluster, err=err)
    except PartRefused as refusal:
        if prints == "job ids":
            _print_job_ids(_accepted(SweepDirectory.open(request.path)))
        if waits:
            click.echo(f"{refusal.what}; waiting for the parts that were accepted", err=True)
            watch(context, cluster, SweepDirectory.open(request.path))
        raise
    if prints == "job ids":
        _print_job_ids(done.arrays)
    elif prints == "document":
        print_document(done.to_json())
    if waits:
        _wait(context, request, cluster, done, err=err)


def go_on(context: Context, sweep: SweepDirectory, *, as_json: bool) -> None:
    """Advance a sweep, and say what was sent."""
    cluster = registry.require_recorded(sweep, context.settings)

    def show(done: Submitted) -> None:
        if as_json:
            print_document(done.to_json())
            return
        for line in _submitted_lines(done, cluster):
            click.echo(line)

    advance_or_run_again(sweep, cluster, context.settings, notify, show)


def _submit(context: Context, request: SubmitRequest, cluster: Cluster, *, err: bool) -> Submitted:
    done = submit_stages(request, cluster, context.settings, notify)
    filters = (f"where {one_line(note)}" for note in request.source.filter_notes())
    for line in (
        *map(one_line, request.source.cell_notes()),
        *filters,
        *_submitted_lines(done, cluster, request.selection),
        *notices(done, request),
    ):
        click.echo(line, err=err)
    return done


def _print_job_ids(job_ids: list[str]) -> None:
    for job_id in job_ids:
        click.echo(job_id)


def _accepted(sweep: SweepDirectory) -> list[str]:
    """The job ids of the last submission's parts."""
    facts = sweep.part_facts(sweep.submissions()[-1])
    return [facts[part]["job"]["job_id"] for part in sorted(facts) if "job" in facts[part]]


def _submitted_lines(
    done: Submitted, cluster: Cluster, selection: IndexSet | None = None
) -> Iterator[str]:
    """What a submission sent, or why it sent nothing."""
    outlook, sweep = done.outlook, done.sweep
    if selection is not None:
        outlook = outlook.within(selection)
    why = done.stopped or done.paused
    if why is not None:
        yield from why.lines
    elif not done.plans:
        yield f"{sweep.name}: {_why_nothing(done, outlook, selection)}"
    yield from given_up_lines(given_up(outlook))
    job_ids = iter(done.job_ids)
    for plan in done.plans:
        jobs = ", ".join(islice(job_ids, len(plan.parts)))
        yield (
            f"{sweep.name}: submission {plan.submission}, {counted(plan.indices.count, 'case')} in "
            f"{tasks_text(plan)}, job {jobs} on the {cluster.kind} cluster"
        )
        yield from _plan_lines(plan, sweep)
    for stage in done.stages:
        yield from _submitted_lines(stage, cluster)


def _plan_lines(plan: Plan, sweep: SweepDirectory) -> Iterator[str]:
    """What a submission was sized by, and what follows it."""
    if plan.seconds_from == "canary":
        yield f"a case takes {case_seconds(plan)}"
    sized = sized_options(plan, sweep.version(plan.manifest).manifest)
    if sized:
        yield f"its tasks ask for {sized}"
    if plan.goal is not None:
        rest = plan.goal.count - plan.indices.count
        now = " (`submit --canary 0` sends them now)" if plan.canary else ""
        yield (
            f"{counted(rest, 'more case is', 'more cases are')} sent when "
            f"{what_goes_before(plan)}{now}"
        )


def _why_nothing(done: Submitted, outlook: Outlook, selection: IndexSet | None) -> str:
    """Why a submission without a plan sent nothing."""
    if done.behind_canary:
        return (
            f"nothing to submit now, {counted(done.under_way.count, 'case is', 'cases are')} under "
            f"way and {counted(done.behind_canary.count, 'waits', 'wait')} for the canary"
        )
    if done.without_room:
        later = counted(done.without_room.count, "case is", "cases are")
        return f"the queue has no room; {later} sent later"
    if done.under_way:
        under_way = counted(done.under_way.count, "case is", "cases are")
        return f"nothing to submit, {under_way} under way"
    left = f", {outlook.failed.count} failed (--rerun failed)" if outlook.failed else ""
    some = ""
    if selection is not None:
        some = f" of the {counted(selection.count, 'selected case')}"
    return f"nothing to submit{some}, {outlook.complete.count} complete{left}"


def _wait(
    context: Context, request: SubmitRequest, cluster: Cluster, done: Submitted, *, err: bool
) -> None:
    """Wait; then submit once what tasks in doubt had when this command began.

    *Raises* Incomplete unless every case that was asked for is complete.
    """
    summary = watch(context, cluster, done.sweep, request.selection)
    in_doubt = done.under_way if done.plan is None else done.cancelled
    if not summary.is_complete and summary.stopped is None and in_doubt:
        done = _submit(context, request, cluster, err=err)
        summary = watch(context, cluster, done.sweep, request.selection)
    for line in given_up_lines(dict(summary.given_up)):
        click.echo(line, err=True)
    if summary.stopped is not None:
        raise Incomplete(
            "\n".join(summary.stopped.lines[:-1]),
            where=summary.path,
            next_step=summary.stopped.lines[-1],
        )
    if not summary.is_complete:
        argument = argument_for(summary.name, summary.path)
        raise Incomplete(
            f"not every case is complete: {summary.counts_text}",
            where=summary.path,
            next_step=f"`hpcsweep logs {argument} INDEX` says why; `hpcsweep submit` sends "
            f"what was interrupted, `hpcsweep retry {argument}` also what failed.",
        )
    click.echo(f"{summary.name}: {summary.counts_text}", err=err)
    if summary.reduced is None or request.selection is not None:
        return
    if not summary.is_finished:
        raise Incomplete(summary.reduced.line, where=summary.path)
    click.echo(summary.reduced.line, err=err)


def watch(
    context: Context,
    cluster: Cluster,
    sweep: SweepDirectory,
    selection: IndexSet | None = None,
    show: Callable[[Console], AbstractContextManager[Callable[[Summary], None]]] = progress_bar,
) -> Summary:
    """Show the progress until nothing more will happen; the state of the selected cases then.

    `show` draws it; a bar needs the counts alone. Advances the sweep meanwhile, unless it is
    another user's.
    """
    try:
        # The bar's own escape sequences reach the terminal.
        console = Console(file=streams.bare(sys.stderr), highlight=False)
        with show(console) as update:
            checks = Checks.COUNTS if show is progress_bar else Checks.NOTHING
            look = partial(wait, sweep, cluster, context.settings, update, checks)
            if sweep.is_writable:
                summary = follow(sweep, cluster, context.settings, look, notify)
            else:
                summary = look()
    except KeyboardInterrupt:
        argument = argument_for(sweep.name, sweep.shown_path)
        click.echo(
            f"\nNo longer waiting; what was submitted goes on. `hpcsweep status {argument}` "
            f"shows it, `hpcsweep cancel {argument}` ends it.",
            err=True,
        )
        raise click.exceptions.Exit(130) from None  # as in a shell: 128 + SIGINT
    if selection is None:
        return summary
    return status(sweep, cluster, context.settings, within=selection)
