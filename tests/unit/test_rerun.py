"""Which tests of the last run are run once more, alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import rerun


def write(cache: Path, status: int | None, failed: list[str]) -> Path:
    documents = {rerun.EXIT_STATUS: status, "cache/lastfailed": dict.fromkeys(failed, True)}
    for name, document in documents.items():
        path = cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    return cache


def test_tests_that_failed_are_run_again(tmp_path: Path) -> None:
    cache = write(tmp_path, pytest.ExitCode.TESTS_FAILED, ["tests/b.py::b", "tests/a.py::a"])
    assert rerun.failed_tests(cache) == ["tests/a.py::a", "tests/b.py::b"]


@pytest.mark.parametrize(
    "status",
    [None, pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR],
)
def test_a_run_that_did_not_come_to_its_end_is_not_mended(
    tmp_path: Path, status: int | None
) -> None:
    assert rerun.failed_tests(write(tmp_path, status, ["tests/a.py::a"])) == []


def test_without_a_run_there_is_nothing_to_run_again(tmp_path: Path) -> None:
    assert rerun.failed_tests(tmp_path) == []


@pytest.mark.parametrize("count", [0, rerun.MOST + 1])
def test_none_or_many_failures_stay_failures(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(rerun, "failed_tests", lambda: [f"tests/a.py::t{n}" for n in range(count)])
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    assert rerun.main() == 1
