"""Notices that several commands print beside their result: missing files, damaged lines."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from hpcsweep.quantities import counted
from hpcsweep.store.record_mapper import skipped_lines

if TYPE_CHECKING:
    from hpcsweep.runs.find import DamageReport
    from hpcsweep.sweepdir.directory import SweepDirectory

# Largest count of journal lines that are listed.
LINES_NAMED = 10


def notify(text: str) -> None:
    """Print a notice on standard error."""
    click.echo(text, err=True)


def report_lost_files(report: DamageReport) -> None:
    """List the cases whose files are gone or damaged. *Raises* Exit(1) if there are any."""
    for line in report.named:
        notify(line)
    if report.lost:
        notify(f"files of complete cases: {report}")
        raise click.exceptions.Exit(1)


def report_passed_over(sweep: SweepDirectory, torn: dict[str, int]) -> None:
    """List journal lines that were passed over, with the reasons."""
    why = list(islice(skipped_lines(sweep, torn), LINES_NAMED))
    for line in why:
        notify(f"passed over: {line}")
    more = sum(torn.values()) - len(why)
    if more > 0:
        notify(f"passed over: {counted(more, 'more journal line')}")


def fill_cache_table(sweep: SweepDirectory) -> None:
    """Fill the table of the sweep's cache; a failure is a notice, since the results are safe."""
    from hpcsweep.cache.run_fill import fill_table  # noqa: PLC0415  # used by two commands

    problem = fill_table(sweep)
    if problem:
        notify(problem)
