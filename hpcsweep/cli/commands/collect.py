"""`collect`: print the table of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, selection_options, sweeps_argument, words
from hpcsweep.cli.output_options import TableOutput, output_options
from hpcsweep.cli.shape_options import shape_options

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection
    from hpcsweep.tables.shape import Shape


# What a table of complete cases lacks that has no column of a metric.
NO_METRICS = (
    "No case has a metric: a function returns them as a dict, a program writes them to "
    "{run_dir}/metrics.json."
)


@click.command(
    "collect",
    epilog=examples(
        "hpcsweep collect demo --format csv --output table.csv",
        "hpcsweep collect demo --where 'omega > 1' --columns index,omega,energy",
        "hpcsweep collect demo --sort energy --desc --limit 10",
        "hpcsweep collect demo --mean-over replicate --pivot omega,dt:energy",
    ),
)
@sweeps_argument
@selection_options
@click.option(
    "--columns",
    metavar="NAME[,…]",
    help="These columns, in this order.",
    shell_complete=completion.columns,
)
@click.option(
    "--sort",
    metavar="COLUMN[,…]",
    help="In the order of these columns, smallest values first.",
    shell_complete=completion.columns,
)
@click.option("--desc", is_flag=True, help="With --sort: largest values first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N rows alone.")
@click.option(
    "--sql", metavar="SELECT", help="What this SELECT makes of `cases` and `attempts` (DuckDB)."
)
@click.option(
    "--attempts", is_flag=True, help="A row for each attempt: what it asked for and used."
)
@shape_options
@output_options
@common
def command(
    sweeps: tuple[str, ...],
    columns: str | None,
    sort: str | None,
    desc: bool,
    limit: int | None,
    sql: str | None,
    attempts: bool,
    selection: Selection,
    shape: Shape,
    output: TableOutput,
    **shared: Any,
) -> None:
    """Print one row per case, in index order.

    First brings the index up to date, and asks the cluster about silent tasks. The table of several
    sweeps has a column for the sweep.
    """
    from hpcsweep.cli import notices
    from hpcsweep.cli.render.rows import MARK
    from hpcsweep.state.outdated_remarks import changed_inputs, other_code
    from hpcsweep.tables.collect import collect
    from hpcsweep.tables.request import TableRequest
    from hpcsweep.tables.several import collect_several
    from hpcsweep.tables.sorting import RowOrder

    context = load_context(**shared)
    directories = list(map(context.sweep, sweeps))
    request = TableRequest(
        selection=selection,
        columns=words(columns),
        attempts=attempts,
        shape=shape,
        order=RowOrder(columns=words(sort), descending=desc, limit=limit),
        sql=sql,
        notify=notices.notify,
    )
    with_clusters = [(directory, context.cluster_of(directory)) for directory in directories]
    if len(with_clusters) == 1:
        done = [collect(*with_clusters[0], context.settings, output.write, request)]
    else:
        done = collect_several(with_clusters, context.settings, output.write, request)
    shows_status = not (shape or attempts) and "status" in (request.columns or ("status",))
    mark = MARK if output.is_screen and shows_status else ""
    for directory, facts in zip(directories, done, strict=True):
        if facts.code.stale:
            line = other_code(facts.code, directory.name, mark)
            click.echo(line, err=not output.is_screen)
        if facts.inputs.text():
            line = changed_inputs(facts.inputs, directory.name, directory.shown_path, mark)
            click.echo(line, err=not output.is_screen)
        if output.is_screen and facts.code.complete and not facts.has_metrics:
            click.echo(NO_METRICS)
        notices.fill_cache_table(directory)
        notices.report_passed_over(directory, facts.torn)
    if output.path is not None:
        notices.notify(f"written: {output.path}")
