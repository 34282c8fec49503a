"""`report`: write a sweep as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import Context, load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, file_option, selection_options, sweep_argument

if TYPE_CHECKING:
    from hpcsweep.tables.compare import SweepComparison
    from hpcsweep.tables.selection import Selection


@click.command(
    "report",
    epilog=examples(
        "hpcsweep report demo",
        "hpcsweep report demo -o demo.html",
        "hpcsweep report demo --where 'omega > 1'",
        "hpcsweep report --diff demo finer",
    ),
)
@sweep_argument
@click.option(
    "-o",
    "--output",
    type=file_option,
    help="The file, instead of report.html; - is standard output.",
)
@click.option(
    "--diff",
    "before",
    metavar="A",
    shell_complete=completion.sweeps,
    help="Write instead in what SWEEP differs from the sweep A, or SWEEP@2 from A@1.",
)
@selection_options
@common
def command(
    sweep: str, output: Path | None, before: str | None, selection: Selection, **shared: Any
) -> None:
    """Write a sweep as one HTML file: state, figures, provenance.

    The file is report.html in the sweep's directory unless --output names one. It opens in any
    browser and loads nothing: neither a server nor a network is needed.

    With --diff it is differences.html, here, about the cases that two sweeps have in common. NAME@2
    is what submission 2 of a sweep made of them, whatever came later.
    """
    from hpcsweep.cli.output_options import destination, is_standard_output
    from hpcsweep.report.write import write_differences, write_report

    context = load_context(**shared)
    if before is not None and selection:
        raise click.UsageError("--diff is about all cases: `hpcsweep compare` takes some")
    with destination(output, ".html", is_text=True) as file:
        if before is not None:
            path = write_differences(_comparison(context, before, sweep), file)
        else:
            directory = context.sweep(sweep)
            cluster = context.cluster_of(directory)
            path = write_report(directory, cluster, context.settings, file, selection)
    if not is_standard_output(output):  # /dev/stdout is, too
        click.echo(f"written: {path}", err=True)


def _comparison(context: Context, a: str, b: str) -> SweepComparison:
    """The comparison of two sweeps, or of two submissions. *Raises* InputError."""
    from hpcsweep.tables.compare_submissions import compare_either, submission_of

    (name_a, number_a), (name_b, number_b) = map(submission_of, (a, b))
    sweeps = [context.sweep(name) for name in (name_a, name_b)]
    pairs = [(sweep, context.cluster_of(sweep)) for sweep in sweeps]
    return compare_either(pairs, (number_a, number_b), context.settings)
