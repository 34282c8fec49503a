"""Run the tests that failed in the last run once more, alone: `python -m tests.support.rerun`.

Thousands of tests with real clusters, kills and graces share two cores; one may miss a moment
because of the others. What fails alone as well is a defect. What passes alone met a race, of the
test or of the code: both results are printed. Exit code 0 only if the run came to its end, at most
MOST tests failed in it, and each of them passes now.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import pytest

MOST = 10
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "v"
LAST_RUN = "hpcsweep/last_run"  # key in pytest's cache; tests/conftest.py writes it
# Of the text of a failure: what names the values that differ is in its first lines.
LINES, LINE_CHARACTERS = 3, 300


class LastRun(TypedDict):
    """How a run of tests ended."""

    # None for one that did not.
    exit_status: int | None
    # How each test failed, by its id.
    failures: dict[str, str]


def last_run(
    exit_status: int | None, failed: Iterable[pytest.TestReport | pytest.CollectReport]
) -> LastRun:
    """What is recorded of a run."""
    return {
        "exit_status": exit_status,
        "failures": {_test_id(report.nodeid): _failure(report) for report in failed},
    }


def _test_id(nodeid: str) -> str:
    """The id by which pytest finds a test: xdist appends its group, `@slurm`."""
    return re.sub(r"@[\w.-]+$", "", nodeid)


def _failure(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The first lines of what a test failed with, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    where = f"{Path(crash.path).name}:{crash.lineno}: " if crash else ""
    text = crash.message if crash else report.longreprtext
    lines = [line[:LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
    return where + "\n".join(lines[:LINES])


def failures(cache: Path = CACHE) -> dict[str, str]:
    """The tests that failed in the last run; none if it did not come to its end."""
    try:
        run: LastRun = json.loads((cache / LAST_RUN).read_text())
    except FileNotFoundError:
        return {}
    return run["failures"] if run["exit_status"] == pytest.ExitCode.TESTS_FAILED else {}


def main() -> int:
    """Run pytest on the tests that failed, one after another, and say how that ended."""
    failed = failures()
    if not 0 < len(failed) <= MOST:
        return 1
    print(f"\n{len(failed)} failed; once more, alone:\n{_listing(failed)}", flush=True)
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "--timeout", "2700", *failed],
        check=False,
        cwd=CACHE.parents[1],
    )
    if again.returncode:
        return 1
    print(f"\nAlone they pass; find out what they met before:\n{_listing(failed)}")
    return 0


def _listing(failed: dict[str, str]) -> str:
    lines = [line for test, how in failed.items() for line in (f"  {test}", *_indented(how))]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"      {line}" for line in text.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
