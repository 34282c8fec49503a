"""Which tests of the last run are run once more, alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import rerun

REPOSITORY = Path(__file__).parents[2]


def write(cache: Path, status: int | None, failed: list[str]) -> Path:
    path = cache / rerun.LAST_RUN
    path.parent.mkdir(parents=True)
    run: rerun.LastRun = {"exit_status": status, "failures": dict.fromkeys(failed, "assert 0")}
    path.write_text(json.dumps(run))
    return cache


def test_tests_that_failed_are_run_again(tmp_path: Path) -> None:
    cache = write(tmp_path, pytest.ExitCode.TESTS_FAILED, ["tests/b.py::b", "tests/a.py::a"])
    assert [*rerun.failures(cache)] == ["tests/b.py::b", "tests/a.py::a"]


@pytest.mark.parametrize(
    "status",
    [None, pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR],
)
def test_a_run_that_did_not_come_to_its_end_is_not_mended(
    tmp_path: Path, status: int | None
) -> None:
    assert rerun.failures(write(tmp_path, status, ["tests/a.py::a"])) == {}


def test_without_a_run_there_is_nothing_to_run_again(tmp_path: Path) -> None:
    assert rerun.failures(tmp_path) == {}


@pytest.mark.parametrize("count", [0, rerun.MOST + 1])
def test_none_or_many_failures_stay_failures(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    failed = {f"tests/a.py::t{n}": "assert 0" for n in range(count)}
    monkeypatch.setattr(rerun, "failures", lambda: failed)
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    assert rerun.main() == 1


def test_both_results_are_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rerun, "failures", lambda: {"tests/a.py::a": "a.py:7: assert 1 == 2"})
    asked = list[list[str]]()

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert rerun.main() == 0
    assert [argv[-1] for argv in asked] == ["tests/a.py::a"]
    assert capfd.readouterr().out.count("  tests/a.py::a\n      a.py:7: assert 1 == 2\n") == 2


FAILING = """\
import pytest

@pytest.mark.xdist_group("group")
@pytest.mark.parametrize("text", ["me@home"])
def test_a(text):
    assert {1, 2} == {1}

@pytest.fixture
def broken():
    raise ValueError("broken")

def test_b(broken):
    pass

def test_c():
    pass
"""


@pytest.mark.parametrize("processes", [(), ("-n", "1", "--dist", "loadgroup")])
def test_a_run_is_recorded_with_what_failed(tmp_path: Path, processes: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(FAILING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", *processes, str(tmp_path))
    path = f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        argv, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert rerun.failures(tmp_path / ".pytest_cache" / "v") == {
        "test_it.py::test_a[me@home]": (
            "test_it.py:6: assert {1, 2} == {1}\n  Extra items in the left set:\n  2"
        ),
        "test_it.py::test_b": "test_it.py:10: ValueError: broken",
    }
