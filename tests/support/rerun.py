"""Run the tests that failed in the last run once more, alone: `python -m tests.support.rerun`.

Thousands of tests with real clusters, kills and graces share two cores; one may miss a moment
because of the others. What fails alone as well is a defect. What passes alone met a race, of the
test or of the code: both results are printed. Exit code 0 only if the run came to its end, at most
MOST tests failed in it, and each of them passes now.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MOST = 3
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "v"
EXIT_STATUS = "hpcsweep/exit_status"  # key in pytest's cache; tests/conftest.py writes it


def failed_tests(cache: Path = CACHE) -> list[str]:
    """The ids of the tests that failed in the last run; none if it did not come to its end."""
    try:
        status = json.loads((cache / EXIT_STATUS).read_text())
        failed = json.loads((cache / "cache" / "lastfailed").read_text())
    except FileNotFoundError:
        return []
    return sorted(failed) if status == pytest.ExitCode.TESTS_FAILED else []


def main() -> int:
    """Run pytest on the tests that failed, one after another, and say how that ended."""
    failed = failed_tests()
    if not 0 < len(failed) <= MOST:
        return 1
    print(f"\n{len(failed)} failed; once more, alone:", *failed, sep="\n  ", flush=True)
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "--timeout", "2700", *failed],
        check=False,
        cwd=CACHE.parents[1],
    )
    if again.returncode:
        return 1
    print("\nAlone they pass; find out what they met before:", *failed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
