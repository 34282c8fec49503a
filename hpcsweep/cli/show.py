"""What people see: tables, counts and progress."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest

from rich.console import Console
from rich.text import Text

from hpcsweep.cli import streams, tables
from hpcsweep.cluster.slurm.reasons import passes
from hpcsweep.cluster.timelimit import time_limit_seconds
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import ParamCase, Reason, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.state.status import Summary
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.tables.collect import Columns, Row
from hpcsweep.tables.formats import cell
from hpcsweep.terminal_text import visible

# Rows of a table on the screen; --format csv has them all.
TABLE_ROWS = 100
# Columns that a table on the screen leaves out.
QUIET = frozenset(
    {"seed", "started", "ended", "cpu_seconds", "max_rss_bytes", "host", "job_id", "run_dir",
     "code_digest", "error", "case_id"}
)  # fmt: skip
# Of these it leaves out what is empty in all rows,
OFTEN_EMPTY = ("replicate", "reason")
# these have a place before all others,
WEIGHTIEST = ("index", "status", "reason")
# and these may be cut.
FREE_TEXT = frozenset({"error"})
# Characters of a case's params in a plan.
PARAMS_CHARACTERS = 200
# Where there is no terminal nothing is wrapped, cut or left out.
ANY_WIDTH = 1_000_000
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
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), streams.STANDARD_OUTPUT)


def console(*, stderr: bool = False) -> Console:
    """Where to print; as wide as it takes when nobody looks at a terminal."""
    stream = streams.bare(sys.stderr if stderr else sys.stdout)
    made = _Console(file=stream, highlight=False)
    return made if made.is_terminal else _Console(file=stream, highlight=False, width=ANY_WIDTH)


def say(*parts: str | tables.Styled) -> None:
    """Print a line of texts, some of them with a style; the terminal wraps it."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    _print(Text.assemble(*((visible(text), style) for text, style in styled)))


def document(value: object) -> None:
    """Print one JSON document."""
    streams.document().write(json.dumps(value, indent=2) + "\n")


def facts(rows: Sequence[Sequence[str | tables.Styled]]) -> None:
    """Print rows whose last cell is a text."""
    styled = [[(one, "") if isinstance(one, str) else one for one in row] for row in rows]
    _print(*tables.facts(styled, console().width))


def _print(*lines: Text) -> None:
    out = console()
    for line in lines:
        out.print(line, soft_wrap=True)  # neither wrapped nor cropped


def summary(found: Summary) -> None:
    """Print a status for people."""
    say((found.name, "bold"), f"  {found.path}")
    facts([
        ((status.value, _COLOURS[status]), str(number), _why(found, status))
        for status in Status
        if (number := found.counts.get(status, 0))
    ])  # fmt: skip
    if found.tasks:
        states = ", ".join(f"{number} {state}" for state, number in sorted(found.tasks.items()))
        age = f", asked {found.asked_s_ago:.0f} s ago" if found.asked_s_ago is not None else ""
        say(f"array tasks: {states}{age}")
    passing = [f"{number} {why}" for why, number in sorted(found.waiting.items()) if passes(why)]
    if passing:
        say(f"what they wait for: {', '.join(passing)}")
    for sentence in found.stuck:
        say((sentence, "yellow"))
    if found.problem:
        say(("the cluster could not be asked:", "yellow"), f" {found.problem}")
    if found.torn:
        lines, journals = sum(found.torn.values()), len(found.torn)
        say((f"{lines} journal lines were passed over, in {journals} journals", "yellow"))
    if found.other_code:
        say((other_code(found.name, found.other_code), "yellow"))
    if found.reasons.get("lost"):
        say(f"What Slurm kept of lost tasks: `hpcsweep logs {found.name} INDEX`")
    if found.is_settled and not found.is_complete:
        say(f"Nothing is under way. {_next_step(found)}")


def other_code(name: str, count: int) -> str:
    """A line on results that are not of the code as it is now."""
    return (
        f"{count} complete cases of {name} were computed with other code than is there now: "
        "`hpcsweep submit --rerun stale` with the manifest computes them again"
    )


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
    count = found.indices.count
    known = f" ({complete} complete)" if complete else ""
    auto = " (chunk: auto, at most 1,000 tasks)" if manifest.chunk is None else ""
    files, inodes = _files(found)
    rows = [
        ("cases", f"{count} of {source.n_cases}{known}"),
        ("under way", f"{held}, left alone" if held else ""),
        ("first", _case(source[found.indices.select(0)])),
        ("last", _case(source[found.indices.select(count - 1)])),
        ("chunks", f"{found.chunks} array tasks{_each(found)}{auto}"),
        ("arrays", _arrays(found)),
        ("core-hours", _core_hours(found, manifest)),
        ("files", f"about {files}, {inodes} inodes with directories"),
        ("runs", found.layout.runs),
    ]
    facts([row for row in rows if row[1]])


def _arrays(found: Plan) -> str:
    if not all(part.is_array for part in found.parts):
        return f"none: {len(found.parts)} single jobs"
    arrays = (f"0-{p.chunks - 1}" + (f"%{p.throttle}" if p.throttle else "") for p in found.parts)
    return f"{len(found.parts)}: {', '.join(islice(arrays, 5))}"


def _each(found: Plan) -> str:
    if found.chunk_size == 1:
        return " of one case each"
    return f" of up to {found.chunk_size} cases each"


def _case(case: ParamCase) -> str:
    """A case with as many of its params, each whole, as one looks at."""
    shown: dict[str, object] = {}
    for name, value in case.params.items():
        more = shown | {name: value}
        if len(json.dumps(more, ensure_ascii=False)) > PARAMS_CHARACTERS:
            break
        shown = more
    text = f"index {case.index}, {case.case_id}: {json.dumps(shown, ensure_ascii=False)}"
    left = len(case.params) - len(shown)
    return f"{text} and {left} more params" if left else text


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
    taken = list(islice(rows, TABLE_ROWS + 1))
    shown = columns.names
    given = shown != list(columns.kinds)
    if not given:
        shown = [name for name in shown if name not in QUIET]
        for name in OFTEN_EMPTY:
            if not any(row.get(name) for row in taken):
                shown.remove(name)
    made = {
        name: tables.cleaned(tables.Column(
            name=name, cells=[_short(row.get(name)) for row in taken[:TABLE_ROWS]],
            right=columns.kinds[name] != "str", may_be_cut=name in FREE_TEXT,
        ))
        for name in shown
    }  # fmt: skip
    width = console().width
    order = shown if given else _by_weight(columns, shown)
    fitting = tables.fitting([made[name] for name in order], width)
    _print(*tables.lines([one for one in made.values() if one in fitting], width))
    left_out = [one.name for one in made.values() if one not in fitting]
    if left_out:
        say(f"not shown for width: {', '.join(left_out)}; --columns or --format csv has them")
    more = len(taken) - TABLE_ROWS + sum(1 for _ in rows)
    if more > 0:
        say(f"… and {more} more rows: --format csv has them all.")


def _by_weight(columns: Columns, shown: list[str]) -> list[str]:
    """Columns in the order in which they get a place: params and metrics turn by turn."""
    turns = chain(*zip_longest(columns.params.values(), columns.metrics.values()))
    weighty = [name for name in (*WEIGHTIEST, *turns) if name in shown]
    return weighty + [name for name in shown if name not in weighty]


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else cell(value)
