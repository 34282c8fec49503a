"""What people see: tables, counts and progress."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from itertools import islice

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpcsweep.cluster.text import time_limit_seconds
from hpcsweep.collect import Columns, Row
from hpcsweep.formats import cell
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.plan import Plan
from hpcsweep.records import ParamCase, Reason, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.status import Summary

# Rows of a table on the screen; --format csv has them all.
TABLE_ROWS = 100
# Columns that a table on the screen leaves out.
QUIET = frozenset(
    {"seed", "started", "ended", "cpu_seconds", "max_rss_bytes", "host", "job_id", "run_dir",
     "code_digest", "error", "case_id"}
)  # fmt: skip
_COLOURS = {
    Status.COMPLETE: "green",
    Status.FAILED: "red",
    Status.INTERRUPTED: "yellow",
    Status.UNKNOWN: "magenta",
    Status.RUNNING: "cyan",
    Status.PENDING: "white",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich would end the program here."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, stderr: bool = False) -> Console:
    """Where to print; wide enough for a table when nobody looks at a terminal."""
    made = _Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else _Console(stderr=stderr, highlight=False, width=160)


def plain(text: str) -> str:
    """A text that we did not write: no markup in it, and nothing that commands a terminal."""
    return escape("".join(one if one.isprintable() else ascii(one)[1:-1] for one in text))


def summary(found: Summary) -> None:
    """Print a status for people."""
    out = console()
    out.print(f"[bold]{found.name}[/bold]  {plain(found.path)}")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for status in Status:
        number = found.counts.get(status, 0)
        if number:
            table.add_row(
                f"[{_COLOURS[status]}]{status.value}[/]", str(number), _why(found, status)
            )
    out.print(table)
    if found.tasks:
        states = ", ".join(f"{number} {state}" for state, number in sorted(found.tasks.items()))
        age = f", asked {found.asked_s_ago:.0f} s ago" if found.asked_s_ago is not None else ""
        out.print(f"array tasks: {states}{age}")
    if found.problem:
        out.print(f"[yellow]the cluster could not be asked:[/] {plain(found.problem)}")
    if found.torn:
        lines, journals = sum(found.torn.values()), len(found.torn)
        out.print(
            f"[yellow]{lines} journal lines were passed over, in {journals} journals:[/] "
            f"`hpcsweep ingest {found.name}` says why"
        )
    if found.reasons.get("lost"):
        out.print(f"What Slurm kept of lost tasks: `hpcsweep logs {found.name} INDEX`")
    if found.is_settled and not found.is_complete:
        out.print(f"Nothing is under way. {_next_step(found)}")


def _next_step(found: Summary) -> str:
    if found.counts.get(Status.FAILED, 0):
        return (
            f"`hpcsweep logs {found.name} INDEX` says why a case failed, "
            f"`hpcsweep retry {found.name}` sends it again."
        )
    return "`hpcsweep submit` sends what is missing."


def _why(found: Summary, status: Status) -> str:
    if status is Status.PENDING and found.unsubmitted:
        return f"{found.unsubmitted} not submitted"
    if status in (Status.FAILED, Status.INTERRUPTED):
        reasons = (
            f"{n} {why}" for why, n in sorted(found.reasons.items()) if Reason(why).status is status
        )
        return ", ".join(reasons)
    return ""


def plan(
    found: Plan, manifest: FrozenManifest, source: ParameterSource, held: int, complete: int
) -> None:
    """Print a plan for people."""
    out = console()
    table = Table(box=None, show_header=False, padding=(0, 2))
    count = found.indices.count
    table.add_row(
        "cases", f"{count} of {source.n_cases}" + (f" ({complete} complete)" if complete else "")
    )
    if held:
        table.add_row("under way", f"{held}, left alone")
    table.add_row("first", plain(_case(source[found.indices.select(0)])))
    table.add_row("last", plain(_case(source[found.indices.select(count - 1)])))
    auto = " (chunk: auto, at most 1,000 tasks)" if manifest.chunk is None else ""
    table.add_row("chunks", f"{found.chunks} array tasks{_each(found)}{auto}")
    arrays = (f"0-{p.chunks - 1}" + (f"%{p.throttle}" if p.throttle else "") for p in found.parts)
    table.add_row("arrays", f"{len(found.parts)}: {', '.join(islice(arrays, 5))}")
    table.add_row("core-hours", _core_hours(found, manifest))
    files, inodes = _files(found)
    table.add_row("files", f"about {files}, {inodes} inodes with directories")
    table.add_row("runs", found.layout.runs)
    out.print(table)


def _each(found: Plan) -> str:
    if found.chunk_size == 1:
        return " of one case each"
    return f" of up to {found.chunk_size} cases each"


def _case(case: ParamCase) -> str:
    return f"index {case.index}, {case.case_id}: {json.dumps(case.params, ensure_ascii=False):.200}"


def _core_hours(found: Plan, manifest: FrozenManifest) -> str:
    limit = manifest.resources.options.get("time")
    seconds = time_limit_seconds(limit) if limit else None
    if seconds is None:
        return "unknown: the manifest gives no slurm: time"
    cores = manifest.resources.cpus_per_case
    return f"at most {found.chunks * cores * seconds / 3600:.1f}"


def _files(found: Plan) -> tuple[int, int]:
    """Files, and inodes with directories: a run has params, metadata, metrics and a log."""
    cases = found.indices.count if found.layout.runs == "all" else 0
    # A journal and Slurm's log; a pack and its index.
    per_task = 4 if found.layout.runs == "packed" else 2
    files = cases * 4 + found.chunks * per_task + 8
    return files, files + cases * 2 + 10


def table(columns: Columns, rows: Iterator[Row]) -> None:
    """Print a table of rows, the columns that people look at unless they named theirs."""
    shown = columns.names
    if shown == list(columns.kinds):
        shown = [name for name in shown if name not in QUIET]
    taken = list(islice(rows, TABLE_ROWS + 1))
    if "replicate" in shown and not any(row.get("replicate") for row in taken):
        shown = [name for name in shown if name != "replicate"]
    if "reason" in shown and not any(row.get("reason") for row in taken):
        shown = [name for name in shown if name != "reason"]
    made = Table(box=None, padding=(0, 2))
    for name in shown:
        made.add_column(plain(name), justify="left" if columns.kinds[name] == "str" else "right")
    for row in taken[:TABLE_ROWS]:
        made.add_row(*(plain(_short(row.get(name))) for name in shown))
    out = console()
    out.print(made)
    more = len(taken) - TABLE_ROWS + sum(1 for _ in rows)
    if more > 0:
        out.print(f"… and {more} more rows: --format csv has them all.")


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else cell(value)
