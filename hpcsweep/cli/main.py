"""`hpcsweep`: every command parses, calls one verb and prints; errors become exit codes here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from hpcsweep.cache.run_fill import fill_table
from hpcsweep.cli import show, streams
from hpcsweep.cli.group import Cli
from hpcsweep.cli.options import (
    Context,
    common,
    context,
    json_option,
    manifest_argument,
    sweep_argument,
    words,
)
from hpcsweep.cli.scaffold import scaffold
from hpcsweep.cluster import registry
from hpcsweep.errors import SweepError
from hpcsweep.ids import slug
from hpcsweep.records import Status
from hpcsweep.runs.files import case_files
from hpcsweep.runs.find import Account
from hpcsweep.runs.logs import case_logs
from hpcsweep.runs.unpack import unpack
from hpcsweep.state.status import status
from hpcsweep.store.ingest import fresh_store
from hpcsweep.store.record_mapper import passed_over
from hpcsweep.submission.cancel import cancel
from hpcsweep.submission.preflight import behind_setup
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables import formats, plot
from hpcsweep.tables.collect import Columns, Row, Selection, collect
from hpcsweep.tables.points import Axes
from hpcsweep.worker.local import debug_one, index_of, run_one

# Of the journal lines that were passed over so many are named.
LINES_TOLD = 10


# color: click leaves what is printed to `streams`, which shows escape sequences instead of
# taking them out.
@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "color": True})
@click.version_option(package_name="hpcsweep", message="%(prog)s %(version)s")
def main() -> None:
    """Parameter sweeps as Slurm job arrays: one manifest in, one table out.

    A SWEEP is its directory, its name under outputs/, or its manifest.
    """


@main.command()
@manifest_argument
@common
def validate(manifest: Path, **shared: Any) -> None:
    """Check a manifest and tell all of its mistakes."""
    found, source = context(**shared).manifest(manifest)
    click.echo(f"{manifest}: {found.name}, {source.n_cases} cases, target {found.target.text}")


@main.command("status")
@sweep_argument
@json_option
@common
def status_command(sweep: str, as_json: bool, **shared: Any) -> None:
    """Show what is known of a sweep's cases."""
    here = context(**shared)
    directory = here.sweep(sweep)
    found = status(directory, registry.recorded(directory, here.settings), here.settings)
    if as_json:
        show.document(found.to_json())
    else:
        show.summary(found)
    _tell_passed_over(directory, found.torn)


@main.command("collect")
@sweep_argument
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "jsonl", "parquet"]),
    help="Default: a table on the screen, or what the suffix of --output says.",
)  # fmt: skip
@click.option("--where", metavar="CONDITION", help="Only rows for which this holds: 'energy < 1'.")
@click.option("--status", "statuses", metavar="STATUS[,…]", help="Only rows of these statuses.")
@click.option("--columns", metavar="NAME[,…]", help="These columns, in this order.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@common
def collect_command(
    sweep: str, form: str | None, output: Path | None, where: str | None,
    statuses: str | None, columns: str | None, **shared: Any,
) -> None:  # fmt: skip
    """Print one row per case, in index order.

    First brings the store up to date, and asks the cluster about silent tasks.
    """
    here = context(**shared)
    directory = here.sweep(sweep)
    selection = Selection(where=where, status=words(statuses), columns=words(columns))
    chosen = form or _form_of(output)
    if output is not None and chosen == "table":
        raise click.UsageError("--format table is for the screen; a file is csv, jsonl or parquet")

    def take(found: Columns, rows: Iterator[Row]) -> None:
        match chosen:
            case "parquet" if output is not None:
                formats.write_parquet(found, rows, output)
            case "parquet":
                raise click.UsageError("--format parquet needs --output")
            case "jsonl":
                formats.write(formats.jsonl_lines(found, rows), output, streams.document())
            case "table":
                show.table(found, rows)
            case "csv":
                formats.write(formats.csv_lines(found, rows), output, streams.document())

    cluster = registry.recorded(directory, here.settings)
    done = collect(directory, cluster, here.settings, take, selection)
    if done.other_code:
        click.echo(show.other_code(directory.name, done.other_code), err=chosen != "table")
    _fill(directory)
    _tell_passed_over(directory, done.torn)
    if output is not None:
        click.echo(f"written: {output}", err=True)


def _form_of(output: Path | None) -> str:
    """What is written where no --format is given."""
    if output is None:
        return "table"
    suffix = output.suffix.lower().lstrip(".") or "csv"
    if suffix not in ("csv", "jsonl", "parquet"):
        raise click.UsageError(f"no format is known for {output.name}: name it .csv, .jsonl or "
                               ".parquet, or give --format")  # fmt: skip
    return suffix


@main.command("cancel")
@sweep_argument
@common
def cancel_command(sweep: str, **shared: Any) -> None:
    """Cancel what a sweep has on its cluster; results stay."""
    here = context(**shared)
    directory = here.sweep(sweep)
    job_ids = cancel(directory, registry.recorded(directory, here.settings), here.settings, _say)
    click.echo(f"cancelled: {', '.join(job_ids)}" if job_ids else "nothing to cancel")


@main.command()
@sweep_argument
@click.argument("case", metavar="CASE")
@json_option
@common
def logs(sweep: str, case: str, as_json: bool, **shared: Any) -> None:
    """Print what a case logged and printed.

    CASE is its index, or the beginning of its case id.
    """
    found = case_logs(context(**shared).sweep(sweep), case)
    if as_json:
        texts = [{"where": where, "text": text} for where, text in found.texts]
        known = {"index": found.index, "case_id": found.case_id, "state": found.state}
        show.document(known | {"texts": texts})
    else:
        click.echo(f"case {found.case_id}, index {found.index}: {found.state}")
        for where, text in found.texts:
            click.echo(f"==> {where}")
            click.echo(text, nl=False)
    _tell_lost(found.files)


@main.command()
@manifest_argument
@click.option("--index", type=int, help="Which case (0-based).")
@click.option("--case", "case_id", metavar="ID", help="Which case, by the start of its case id.")
@click.option("--pdb", "debug", is_flag=True, help="In this process; an exception opens pdb.")
@common
def run(manifest: Path, index: int | None, case_id: str | None, debug: bool, **shared: Any) -> None:
    """Run one case here, with the seed that it has on the cluster.

    It gets a run directory of its own; journal and store are not touched.
    """
    here: Context = context(**shared)
    if (index is None) == (case_id is None):
        raise click.UsageError("give --index or --case")
    found, source = here.manifest(manifest)
    behind_setup(found)
    number = index_of(source, case_id) if case_id is not None else index or 0
    verb = debug_one if debug else run_one
    case, outcome, path = verb(found, source, number, here.outputs)
    click.echo(f"case {case.case_id}, index {case.index}: {outcome.status.value}")
    click.echo(json.dumps(outcome.metrics, indent=2))
    if outcome.error:
        click.echo(outcome.error.get("traceback") or outcome.error["message"], err=True)
    click.echo(f"run directory: {path}")
    if outcome.status is not Status.COMPLETE:
        raise click.exceptions.Exit(1)


@main.command("files")
@sweep_argument
@click.argument("name", metavar="FILE")
@click.option("--paths", is_flag=True, help="Print where they lie instead of what they hold.")
@common
def files_command(sweep: str, name: str, paths: bool, **shared: Any) -> None:
    """Print one file of every case, in index order.

    FILE is a path in the run directory, such as artifacts/metrics.json.
    """
    account = Account()
    for _, files in case_files(context(**shared).sweep(sweep), name, account):
        if paths:
            click.echo(files.path(name) or f"{files.label}/{name}", file=streams.document())
        else:
            data = files.read(name) or b""
            # The next document begins on a line of its own, for jq and its friends.
            streams.write_bytes(data if data.endswith(b"\n") else data + b"\n")
    _tell_lost(account)


@main.command("plot")
@sweep_argument
@click.option("--x", required=True, metavar="COLUMN", help="What is drawn to the right.")
@click.option("--y", required=True, metavar="COLUMN", help="What is drawn upwards, a number.")
@click.option("--by", metavar="COLUMN", help="A line for each of its values.")
@click.option("--log", "logs_of", metavar="AXIS[,…]", help="Logarithmic axes: x, y, x,y or none.")
@click.option("--where", metavar="CONDITION", help="Only rows for which this holds: 'omega < 3'.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file.")
@common
def plot_command(
    sweep: str, x: str, y: str, by: str | None, logs_of: str | None, where: str | None,
    output: Path | None, **shared: Any,
) -> None:  # fmt: skip
    """Draw one column over another, of the complete cases.

    The file is Y-over-X.png in the sweep's directory unless --output names one: png, pdf or svg.
    Several cases at one point are drawn as their mean; replicates with a band of one standard
    deviation. What is not drawn, and what a mean puts together, is said here and below the figure.
    """
    here = context(**shared)
    directory = here.sweep(sweep)
    chosen = set(words(logs_of))
    if not (chosen <= {"x", "y"} or chosen == {"none"}):
        raise click.UsageError("--log takes x, y, x,y or none")
    log = words(logs_of) if chosen else None
    axes = Axes(x=x, y=y, by=by, log=log, title=directory.name)
    path = output or directory.path / f"{slug(y, 60)}-over-{slug(x, 60)}.png"
    selection = Selection(where=where, columns=axes.columns)

    def take(found: Columns, rows: Iterator[Row]) -> None:
        for note in plot.draw(rows, axes, path, found.params.values()):
            click.echo(note, err=True)

    collect(directory, registry.recorded(directory, here.settings), here.settings, take, selection)
    click.echo(f"written: {path}")


@main.command("unpack")
@sweep_argument
@click.option("--case", "case", metavar="CASE", help="Only this one: its index or its case id.")
@common
def unpack_command(sweep: str, case: str | None, **shared: Any) -> None:
    """Make run directories of packed runs.

    The packs stay, and every command reads them as they are; this is for other programs.
    """
    account = Account()
    for path in unpack(context(**shared).sweep(sweep), account, case):
        click.echo(path, file=streams.document())
    _tell_lost(account)


def _tell_lost(account: Account) -> None:
    """Name the cases whose files are gone or damaged; then the command ends with 1."""
    for line in account.named:
        click.echo(line, err=True)
    if account.lost:
        click.echo(f"files of complete cases: {account}", err=True)
        raise click.exceptions.Exit(1)


@main.command()
@sweep_argument
@click.option("--rebuild", is_flag=True, help="Forget the store and read all journals again.")
@common
def ingest(sweep: str, rebuild: bool, **shared: Any) -> None:
    """Bring the store up to date with the journals."""
    directory = context(**shared).sweep(sweep)
    if not directory.is_writable:
        raise SweepError(
            "you may not write here, so its store stays as it is",
            where=str(directory.path),
            next_step="Nothing is needed: what only reads makes an index for itself.",
        )
    with fresh_store(directory, rebuild=rebuild) as store:
        total, torn = sum(store.counts().values()), store.torn()
    _fill(directory)
    count = sum(torn.values())
    click.echo(f"{directory.name}: {total} cases in the store, {count} journal lines passed over")
    _tell_passed_over(directory, torn)


def _tell_passed_over(directory: SweepDirectory, torn: dict[str, int]) -> None:
    """Name some of the journal lines that were passed over, and why."""
    why = list(islice(passed_over(directory, torn), LINES_TOLD))
    for line in why:
        click.echo(f"passed over: {line}", err=True)
    more = sum(torn.values()) - len(why)
    if more > 0:
        click.echo(f"passed over: {more} more journal lines", err=True)


def _fill(directory: SweepDirectory) -> None:
    """Fill the table of the sweep's cache; the results are safe if that cannot be."""
    told = fill_table(directory)
    if told:
        click.echo(told, err=True)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
def init(directory: Path) -> None:
    """Write a manifest and a target to begin with."""
    for path in scaffold(directory):
        click.echo(f"written: {path}")
    click.echo(f"Next: hpcsweep plan {directory / 'manifest.yaml'}")


def _say(text: str) -> None:
    click.echo(text, err=True)
