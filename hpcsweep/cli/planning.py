"""Print what `submit` would send, for `plan` and `submit --dry-run`."""

from __future__ import annotations

import click

from hpcsweep.cli import streams
from hpcsweep.cli.render.console import print_document, print_line
from hpcsweep.cli.render.plan import print_plan
from hpcsweep.submission.limits import summary
from hpcsweep.submission.planning import Planned, PlannedSubmission


def print_planned(planned: Planned, *, script: bool, as_json: bool = False) -> None:
    """Print plans, or their scripts, or the document."""
    for notice in planned.notices:
        click.echo(notice, err=script or as_json)
    if as_json:
        print_document(planned.to_json())
        return
    if planned.difference is not None:
        click.echo(planned.difference)
    if not planned.submissions:
        _print_nothing(planned)
    for one in planned.submissions:
        if script:
            _print_script(one)
        else:
            complete = planned.outlook.complete.count
            print_plan(one.plan, planned.version, planned.under_way, complete, planned.limits)
            asked = f"not asked: {one.not_asked}" if one.not_asked else "the cluster would take it"
            print_line(asked)
    if planned.submissions and planned.limits.ceilings and not script:
        print_line(summary(planned.limits))


def _print_nothing(planned: Planned) -> None:
    outlook, waiting = planned.selected, planned.behind_canary
    complete, failed = outlook.complete.count, outlook.failed.count
    texts = [
        f"{complete} complete",
        f"{failed} failed{' (submit --rerun failed)' if failed else ''}",
        f"{planned.under_way} under way",
        f"{waiting} wait for the canary" if waiting else "",
    ]
    click.echo(f"nothing to submit: {', '.join(filter(None, texts))}")


def _print_script(one: PlannedSubmission) -> None:
    out = streams.document()
    for call in one.calls:
        out.write(f"# {call}\n")
    out.write(one.script)
