"""Limits in sentences of the documentation are those of the code."""

from __future__ import annotations

import re

import pytest

from hpcsweep import input_files, journal, liveness
from hpcsweep.cli import notices
from hpcsweep.field_checks import NESTED_MAX
from hpcsweep.report import case_table, cubes, gantt, levels, pages, results
from hpcsweep.runs import find
from hpcsweep.state import advice, changed_inputs, core_hours, failures
from hpcsweep.store import schema
from hpcsweep.submission import (
    cache_check,
    first_cases,
    missing_inputs,
    notification,
    sizing,
    snapshot,
    sweep_lock,
)
from hpcsweep.sweepdir import parts, plan, stop
from hpcsweep.tables import parallel_axes
from hpcsweep.worker import breaker, timelimit
from tests.support.command_lines import REPOSITORY

MIB = 1 << 20
# By page: words with a place for each number, and the numbers.
LIMITS: dict[str, list[tuple[str, tuple[float, ...]]]] = {
    "README.md": [("of more than {} one goes first", (first_cases.DEFAULT_ABOVE,))],
    "docs/how-to/cache.md": [("of a sweep of up to {}, of", (cache_check.ALL_UP_TO,))],
    "docs/how-to/disks.md": [("the default up to {} cases", (plan.ALL_RUNS_MAX,))],
    "docs/how-to/many-cases.md": [("the default above {} cases", (plan.ALL_RUNS_MAX,))],
    "docs/how-to/report.md": [
        ("Of more than {} cases the figures", (case_table.CASES_MAX,)),
        ("at most {} bins an axis", (cubes.BINS,)),
        ("have a sample of {}", (results.SAMPLE,)),
        ("metrics the first {} and {} are", (case_table.PARAMS_MAX, case_table.METRICS_MAX)),
        ("Up to {} attempts have a bar", (gantt.BARS_MAX,)),
        ("cut into at most {} ranges", (levels.LEVELS_MAX,)),
        (
            "more than {} characters are cut in figures, and of more than {} everywhere",
            (case_table.LEVEL_CHARACTERS, pages.TEXT_CHARACTERS),
        ),
    ],
    "docs/explanation/design.md": [
        ("Above {} cases run directories", (plan.FLAT_RUNS_MAX,)),
        ("a directory for every {} chunks", (journal.CHUNKS_PER_DIRECTORY,)),
    ],
    "docs/reference/cli.md": [
        (
            "{} failed cases, and compares params in sweeps of which at most {} cases",
            (failures.ROWS_MAX, failures.COMPARED_MAX),
        ),
        ("of up to {} begun cases", (core_hours.CASES_MAX,)),
        ("in a sweep of up to {} cases", (changed_inputs.LOOKED_AT_MAX,)),
        ("after {} s without a heartbeat", (sweep_lock.SILENT_S,)),
        (
            "ask for {} times the memory and {} times the time",
            (advice.MEMORY_MARGIN, advice.TIME_MARGIN),
        ),
        ("none before {} cases", (advice.CASES_MIN,)),
        ("that differs (1 to {})", (parallel_axes.AXES_MAX,)),
    ],
    "docs/reference/files.md": [("Above {} cases run directories", (plan.FLAT_RUNS_MAX,))],
    "docs/reference/journal.md": [
        ("of one up to {} MiB", (input_files.DIGESTED_MAX / MIB,)),
        (
            "deeper than {} levels or longer than {} MiB",
            (NESTED_MAX, journal.LINE_MAX / MIB),
        ),
    ],
    "docs/reference/logbook.md": [
        ("the default above {} cases", (plan.ALL_RUNS_MAX,)),
        ("sets it every {} seconds", (liveness.BEAT_S,)),
    ],
    "docs/reference/manifest.md": [
        ("for more than {} tasks", (parts.AUTO_TASKS,)),
        ("needs at most {} tasks", (parts.AUTO_TASKS,)),
        ("of more than {} cases of a command", (first_cases.DEFAULT_ABOVE,)),
        (
            "{} MiB and {} times the largest case",
            (sizing.OWN_BYTES / MIB, sizing.MEMORY_FACTOR),
        ),
        (
            "less time is left than {} times what {} % of its cases",
            (timelimit.SAFETY, 100 * timelimit.PERCENTILE),
        ),
        ("a named file above {} MiB", (snapshot.NAMED_BYTES_MAX / MIB,)),
        ("It has {} seconds. Mail", (notification.DEADLINE_S,)),
        ("the same first {} characters", (stop.HEAD_CHARACTERS,)),
        ("above {} failures they count", (breaker.MARKS_MAX,)),
    ],
    "docs/reference/sources.md": [
        (
            "those up to {} MiB ({} MiB of a case together)",
            (input_files.DIGESTED_MAX / MIB, input_files.DIGESTED_OF_CASE_MAX / MIB),
        )
    ],
    "docs/reference/sweep-index.md": [("| {} positions: what", (schema.BLOCK,))],
}
SAYINGS = [(page, *one) for page, all_of_it in LIMITS.items() for one in all_of_it]


@pytest.mark.parametrize(("page", "words", "numbers"), SAYINGS)
def test_a_limit_is_the_constant(page: str, words: str, numbers: tuple[float, ...]) -> None:
    text = " ".join((REPOSITORY / page).read_text().replace("`", "").split())
    said = words.format(*(f"{number:,.6g}" for number in numbers))
    assert said in text, f"{page}: {said}"


def test_the_first_ten_are_named() -> None:
    assert {notices.LINES_NAMED, missing_inputs.FILES_NAMED, find.NAMED} == {10}


def test_points_of_a_figure_of_the_report() -> None:
    script = (REPOSITORY / "hpcsweep/report/assets/points.js").read_text()
    (drawn,) = re.findall(r"\bDRAWN_MAX = (\d+)", script)
    page = (REPOSITORY / "docs/how-to/report.md").read_text()
    assert f"Of more than {int(drawn):,} points of a figure" in page
