"""The options that say where output goes, and how: screen, file or pipe, and the format."""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.options import file_option
from hpcsweep.errors import InputError

if TYPE_CHECKING:
    from hpcsweep.cli.render.rows import View
    from hpcsweep.tables.columns import TableColumns, TableRow


def is_standard_output(path: Path | None) -> bool:
    """Whether the value of --output is standard output."""
    return str(path) == "-"


@contextlib.contextmanager
def destination(output: Path | None, suffix: str, *, is_text: bool) -> Iterator[Path | None]:
    """Yield the file to write; of `-` a temporary one, whose content goes to standard output.

    *Raises* UsageError for what is no text, on a terminal.
    """
    from hpcsweep.cli import streams

    if not is_standard_output(output):
        yield output
        return
    if not is_text and sys.stdout.isatty():
        raise click.UsageError("--output - is not for a terminal: send it into a file or a pipe")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"output{suffix}"
        try:
            yield path
        finally:  # a report is written also where it ends in an error, which it shows
            if path.exists():
                streams.write_bytes(path.read_bytes())


@dataclass(frozen=True, kw_only=True, slots=True)
class TableOutput:
    """Where a table goes."""

    # "table", "csv", "jsonl" or "parquet".
    form: str
    # None for standard output.
    path: Path | None = None
    view: View = "fitted"
    # Whether a spreadsheet takes no text of the CSV for a formula.
    safe_csv: bool = False

    def __post_init__(self) -> None:
        """*Raises* UsageError for options that contradict each other."""
        if self.path is not None and self.is_screen:
            raise click.UsageError(
                "--format table is for the screen; a file is csv, jsonl or parquet"
            )
        if self.path is None and self.form == "parquet":
            raise click.UsageError("--format parquet needs --output")
        if self.view != "fitted" and not self.is_screen:
            raise click.UsageError("--wide and --vertical are for the screen")
        if self.safe_csv and self.form != "csv":
            raise click.UsageError("--safe-csv is for --format csv")

    @property
    def is_screen(self) -> bool:
        """Whether it is a table for people."""
        return self.form == "table"

    def write(self, columns: TableColumns, rows: Iterator[TableRow]) -> None:
        """Print the table, or write its file."""
        from hpcsweep.cli import streams
        from hpcsweep.cli.render.rows import print_table
        from hpcsweep.tables import formats
        from hpcsweep.tables.writing import table_writer

        if self.path is not None:
            table_writer(self.path, self.form, safe_csv=self.safe_csv)(columns, rows)
        elif self.form == "jsonl":
            streams.document().writelines(formats.jsonl_lines(columns, rows))
        elif self.form == "csv":
            lines = formats.csv_lines(columns, rows, for_spreadsheets=self.safe_csv)
            streams.document().writelines(lines)
        else:
            print_table(columns, rows, self.view)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --format, --output, --wide, --vertical and --safe-csv, as `output`."""

    @functools.wraps(command)
    def with_output(
        *arguments: Any,
        form: str | None,
        path: Path | None,
        wide: bool,
        vertical: bool,
        safe_csv: bool,
        **others: Any,
    ) -> Any:
        if wide and vertical:
            raise click.UsageError("--wide and --vertical exclude each other")
        if is_standard_output(path):
            path, form = None, form or "csv"
        view: View = "wide" if wide else "vertical" if vertical else "fitted"
        form = form or ("csv" if safe_csv and path is None else _form_of(path))
        output = TableOutput(form=form, path=path, view=view, safe_csv=safe_csv)
        return command(*arguments, output=output, **others)

    for option in (
        click.option(
            "-o", "--output", "path", type=file_option, help="Write to a file, or to - as CSV."
        ),
        click.option(
            "--safe-csv",
            is_flag=True,
            help="CSV for spreadsheets: no text is taken for a formula.",
        ),
        click.option(
            "--vertical", is_flag=True, help="On the screen: a block of lines for each row."
        ),
        click.option(
            "--wide", is_flag=True, help="On the screen: all columns, in lines of any length."
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(["table", "csv", "jsonl", "parquet"]),
            help="Default: a table on the screen, or what the suffix of --output says.",
        ),
    ):
        with_output = option(with_output)
    return with_output


def _form_of(output: Path | None) -> str:
    """The format without --format."""
    if output is None:
        return "table"
    from hpcsweep.tables.writing import format_of  # loads what writes tables

    try:
        return format_of(output)
    except InputError as error:
        what = f"{error.what}: name it .csv, .jsonl, .csv.gz, .jsonl.gz or .parquet"
        raise click.UsageError(f"{what}, or give --format") from error
