"""The verbs that make something of results: tables, figures, a report, comparisons."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsweep.errors import InputError
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweep.result_tables import ResultTables, Take
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.collect import collect, opened
from hpcsweep.tables.compare import PARAMS, SweepComparison, compare
from hpcsweep.tables.compare_submissions import compare_either, submission_of
from hpcsweep.tables.points import Axes
from hpcsweep.tables.request import (
    Cases,
    TableArguments,
    TableRequest,
    selection_of,
    table_request,
    words,
)
from hpcsweep.tables.sweep_figure import Figure, draw_sweep
from hpcsweep.tables.writing import table_writer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from hpcsweep.state.efficiency import Efficiency


class ResultVerbs(ResultTables, SweepBase):
    """A sweep whose results become tables, figures and comparisons."""

    def collect(
        self,
        output: str | Path,
        *,
        format: str | None = None,
        safe_csv: bool = False,
        where: str | None = None,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> Path:
        """Write the table of `query` to a file.

        Args:
            output: The file.
            format: "csv", "jsonl" or "parquet"; by default what the suffix says.
            safe_csv: Whether a spreadsheet takes no text of the CSV for a formula.
            where: See `query`, as for all others.

        Returns:
            The path of the file.

        Raises:
            InputError: For a format that is not known, and for columns or cases that are none.

        Examples:
            >>> path = sweep.collect("table.csv", columns=["omega", "energy"], status="complete")
            >>> path.read_text().splitlines()
            ['omega,energy', '1.0,0.5', '2.0,2.0']
        """
        path = Path(output)
        writes = table_writer(path, format or "", safe_csv=safe_csv)
        self._collected(table_request(where, **arguments), writes, notify)
        return path

    def compare(
        self,
        other: SweepBase | str | Path,
        *,
        on: Sequence[str] = (PARAMS,),
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
    ) -> SweepComparison:
        """In what the sweep and another one differ.

        Args:
            other: The other sweep, its name or its directory.
            on: What cases have in common that are compared: all params, or these columns.
            cases: Which cases; this and the others as for `submit`.

        Examples:
            >>> found = sweep.compare(sweep.copy("copies"))
            >>> found.both, found.to_json()["differences"]
            (3, [])
        """
        selection = selection_of(cases, where, status, last)
        return compare(self._beside(other), self._settings, on, selection)

    def efficiency(self) -> Efficiency:
        """What its tasks asked for and its cases used, with the lines of a manifest that fit.

        Examples:
            >>> sweep.efficiency().uses[0].attempts
            3
        """
        # Not at the top: it loads numpy.
        from hpcsweep.state.efficiency import efficiency  # noqa: PLC0415

        return efficiency(self._directory)

    def plot(
        self,
        x: str = "",
        y: str | None = None,
        by: str | None = None,
        *,
        kind: str = "line",
        log: Sequence[str] | None = None,
        band: str | None = None,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        output: str | Path | None = None,
        notify: Notify | None = print_notice,
    ) -> Figure:
        """Draw one column over another, of the complete cases; a notebook shows the figure.

        Args:
            x: The column that is drawn to the right; not for "parallel".
            y: The column that is drawn upwards; "ecdf" and "hist" count x instead.
            by: A line for each of its values.
            kind: "line", "scatter", "heat", "box", "ecdf", "hist" or "parallel".
            log: Logarithmic axes, of "x", "y" and "by", or "none"; by default those whose values
                need it.
            band: "none", "sd", "sem" or "iqr": what is drawn around a mean.
            cases: Which cases; this and the others as for `submit`.
            output: The file: png, pdf or svg. By default it is in the sweep's directory.
            notify: Is called with what is not drawn, and what was averaged.

        Returns:
            The path of the file, and the notes that stand below the figure.

        Raises:
            InputError: For a column that is none, or cannot be drawn.
            ExtraMissing: Without matplotlib.

        Examples:
            >>> figure = sweep.plot("omega", "energy", output="energy.svg", notify=None)
            >>> figure.notes[0]
            '2 of 3 cases are drawn; not drawn: 1 failed'
        """
        log_notice = logged(notify)
        axes = Axes(kind=kind, x=x, y=y, by=by, log=None if log is None else words(log), band=band)
        selection = selection_of(cases, where, status, last)
        request = TableRequest(selection=selection, notify=log_notice)
        about, path = f"Sweep({self.name!r}).plot", None if output is None else Path(output)
        with opened(*self._on_cluster, self._settings) as open_sweep:
            figure = draw_sweep(open_sweep, axes, request, path=path, about=about)
        for note in figure.lines:
            log_notice(note)
        return figure

    def report(
        self,
        output: str | Path | None = None,
        *,
        diff: SweepBase | str | Path | None = None,
        submission: int | None = None,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
    ) -> Path:
        """Write the sweep as one HTML file: state, figures, provenance.

        Args:
            output: The file; by default `report.html` in the sweep's directory.
            diff: Another sweep, its name or its directory: the file says instead in what this one
                differs from it, and is `differences.html`, here, by default. `NAME@1` is what
                submission 1 of a sweep made of its cases, whatever came later.
            submission: The submission of this sweep that such a one is compared with, by default
                the newest.
            cases: Which cases; this and the others as for `submit`, and not with `diff`.

        Returns:
            The path of the file.

        Raises:
            SweepError: For a submission that there is not.
            InputError: If no case is selected.

        Examples:
            >>> sweep.report("swing.html").name
            'swing.html'
            >>> sweep.report(diff=sweep.copy("before")).name
            'differences.html'
        """
        # Not at the top: it loads numpy.
        from hpcsweep.report.write import write_differences, write_report  # noqa: PLC0415

        path = None if output is None else Path(output)
        selection = selection_of(cases, where, status, last)
        if diff is None:
            if submission is not None:
                raise InputError(
                    "a submission is compared with another one",
                    where="submission",
                    next_step="Name the other one: diff='NAME@1'.",
                )
            return write_report(*self._on_cluster, self._settings, path, selection)
        if selection:
            raise InputError(
                "a report of differences is about all cases",
                where="diff",
                next_step="Select none, or call compare(), which takes some.",
            )
        other, number = submission_of(diff) if isinstance(diff, str) else (diff, None)
        if number is not None and submission is None:
            submission = self._directory.submissions()[-1]
        pairs = self._beside(other)[::-1]
        found = compare_either(pairs, (number, submission), self._settings)
        return write_differences(found, path)

    def view(
        self,
        *,
        port: int = 0,
        socket: str | Path | None = None,
        idle: float = 60.0,
        notify: Notify | None = print_notice,
    ) -> None:
        """Show the report live in a browser, until Ctrl-C or until no page was open for so long.

        Args:
            port: The port on 127.0.0.1, instead of a free one.
            socket: A Unix socket instead of a port: only you can open it.
            idle: Minutes.
            notify: Is called with the address, and how a browser on another machine gets there.

        Raises:
            InputError: For a port or a socket that cannot be used.

        Examples:
            >>> sweep.view(idle=0.0001, notify=None)
        """
        # Not at the top: it loads numpy and the server.
        from hpcsweep.report.server import ViewServer  # noqa: PLC0415
        from hpcsweep.report.view import address_lines, view  # noqa: PLC0415

        def show(server: ViewServer) -> None:
            # Not to the log: the address has a secret in it.
            if notify is not None:
                for line in address_lines(server):
                    notify(line)

        address = port if socket is None else Path(socket)
        # Ctrl-C is the way to end it, not an error.
        with contextlib.suppress(KeyboardInterrupt):
            view(self._directory, self._settings, show, address=address, idle_s=60 * idle)

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        collect(*self._on_cluster, self._settings, take, request)
        return [self._directory]
