"""`logs`: print the log and the output of cases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, selection_options, sweep_argument
from hpcsweep.terminal_text import overprinted

if TYPE_CHECKING:
    from hpcsweep.cli.context import Context
    from hpcsweep.indexset import IndexSet
    from hpcsweep.runs.logs import CaseLogs
    from hpcsweep.sweepdir.directory import SweepDirectory
    from hpcsweep.tables.selection import Selection


@click.command(
    "logs",
    epilog=examples(
        "hpcsweep logs demo 4",
        "hpcsweep logs demo --status failed",
        "hpcsweep logs demo 4 -f",
    ),
)
@sweep_argument
@click.argument("case", metavar="[CASE]", required=False)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what it writes, until the case has ended."
)
@json_option
@selection_options
@common
def command(
    sweep: str,
    case: str | None,
    follow: bool,
    as_json: bool,
    selection: Selection,
    **shared: Any,
) -> None:
    """Print what a case logged and printed.

    CASE is its index, or the beginning of its case id; options select several.
    """
    from hpcsweep.cli.notices import report_lost_files
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.indexset import IndexSet
    from hpcsweep.runs.find import DamageReport
    from hpcsweep.runs.logs import case_logs

    if case is not None and selection.cases is not None:
        raise click.UsageError("give CASE or --cases")
    chosen = selection if case is None else replace(selection, cases=case)
    if not chosen:
        raise click.UsageError("say of which case: CASE, --cases, --where, --status or --last")
    context = load_context(**shared)
    directory, report = context.sweep(sweep), DamageReport()
    indices = selected_of(chosen, directory) or IndexSet()
    if follow:
        if as_json or indices.count > 1:
            raise click.UsageError("--follow is for one case, and without --json")
        _follow(context, directory, indices)
        return
    logs = case_logs(directory, indices, report)
    if as_json:
        documents = [of_case.to_json() for of_case in logs]
        print_document(documents if case is None else documents[0])
    else:
        for of_case in logs:
            _print(of_case)
    report_lost_files(report)


def _follow(context: Context, sweep: SweepDirectory, indices: IndexSet) -> None:
    """Print what the files of a case get, below the name of the file as `tail -f` does."""
    from hpcsweep.state.log_following import follow_log

    shown = ""
    try:
        for index in indices:
            cluster = context.cluster_of(sweep)
            for where, text in follow_log(sweep, index, cluster, context.settings):
                if where and where != shown:
                    click.echo(f"==> {where}")
                shown = where
                click.echo(text, nl=False)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None  # as in a shell: 128 + SIGINT


def _print(logs: CaseLogs) -> None:
    click.echo(f"case {logs.case_id}, index {logs.index}: {logs.state}")
    for attempt in logs.attempts:
        click.echo(attempt)
    if logs.memory:
        click.echo(f"memory: {logs.memory.text}")
    for where, text in logs.texts:
        click.echo(f"==> {where}")
        click.echo(overprinted(text), nl=not text.endswith("\n"))
