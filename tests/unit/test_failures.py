"""Failures in words: the error of a command, and groups of failed cases in `status`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.cli.commands.logs import _print as print_logs
from hpcsweep.runs.logs import CaseLogs
from hpcsweep.settings import Settings
from hpcsweep.sources import grid, manual
from hpcsweep.state.failures import error_message, headline, normalised, suspect
from hpcsweep.state.status import status
from hpcsweep.sweep import Sweep
from tests.support.sweeps import MadeSweep

FRAME = '  File "a.py", line 3, in f\n    raise ValueError("x")\n'
TRACEBACK = f"Traceback (most recent call last):\n{FRAME}ValueError: x\n"


def test_the_message_of_a_command_has_the_last_lines_of_its_stderr() -> None:
    error = {"message": "exit code 3", "stderr": "a\nb\n\nc\n\x1b[31md\n"}
    assert error_message(json.dumps(error)) == "exit code 3: b\nc\n\\x1b[31md"
    assert error_message(json.dumps({"message": "m", "stderr": " \n"})) == "m"
    long = error_message(json.dumps({"message": "m", "stderr": "x" * 4000}))
    assert long == f"m: {'x' * 600}"
    assert error_message(None) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("at step 12: dt = 0.5", "at step 7: dt = 1e-3"),
        ("no file /tmp/1f2e3d4c5b6a7988/x", "no file /tmp/00ff00ff00ff00aa/x"),
        ("at 0x7f3d66", "at 0x55ab01"),
    ],
)
def test_numbers_and_ids_do_not_tell_failures_apart(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)
    assert normalised(a) != normalised(f"{b} of another kind")
    assert "defaced" in normalised("the defaced façade")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ({"message": "v is no number\n  Give a float."}, "v is no number"),
        ({"message": "\nCUDA error: out of memory\nCompile with X."}, "CUDA error: out of memory"),
        (
            {"message": "Traceback (most recent call last):\n  f()\nValueError: x\n"},
            "ValueError: x",
        ),
        ({"message": f"-- Process 0 ended:\n{TRACEBACK}"}, "ValueError: x"),
        ({"message": f"ray::f() (pid=1)\n{FRAME}ValueError: x\nAdvice"}, "ValueError: x"),
        ({"message": 'while scanning a key\n  in "a", line 3, column 1\nno ":"\n    ^'}, 'no ":"'),
        ({"message": "exit code 3", "stderr": "reading\nbad input\n"}, "bad input"),
        ({"message": "v is no number\nAdvice", "stderr": " \n"}, "v is no number"),
        ({"type": "AssertionError", "message": ""}, "AssertionError"),
        ({}, ""),
    ],
)
def test_the_headline_of_a_failure_says_what_failed(error: dict[str, str], line: str) -> None:
    assert headline(json.dumps(error)) == line


def test_a_suspect_is_a_value_with_more_failures_than_its_share() -> None:
    ended = Counter({("dt", "0.5"): 20, ("dt", "0.1"): 20, ("n", "1"): 40})
    failed = Counter({("dt", "0.5"): 18, ("dt", "0.1"): 2, ("n", "1"): 20})
    assert suspect(failed, ended, 20, 40) == "18 of 20 with dt=0.5"
    even = Counter({("dt", "0.5"): 10, ("dt", "0.1"): 10, ("n", "1"): 20})
    assert suspect(even, ended, 20, 40) is None
    assert suspect(failed, Counter(), 20, 10**6) is None  # too many to compare


PYTHON = """\
def run(dt, n):
    if dt == 0.5 and n < 5:
        raise ValueError(f"step {n} of {dt} is too long")
    if n == 5:
        raise KeyError("n")
    return {"y": n}
"""


def test_status_groups_failures(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(dt=[0.1, 0.5], n=list(range(7))), python=PYTHON)
    made.plan()
    made.handed_in()
    made.run()
    first, second = status(made.directory, None, Settings()).failures
    assert (first.reason, first.count, first.index, first.host) == ("error", 5, 7, "n1")
    assert first.message == "step 0 of 0.5 is too long"
    assert first.params == {"dt": 0.5, "n": 0}
    assert first.suspect == "5 of 7 with dt=0.5"
    assert (second.count, second.suspect) == (2, "2 of 2 with n=5")
    shown = CliRunner().invoke(main, ["status", str(made.path)]).output
    assert "5  error: step 0 of 0.5 is too long" in shown
    assert "such as index 7 on n1: dt=0.5, n=0; 5 of 7 with dt=0.5" in shown
    document = CliRunner().invoke(main, ["status", str(made.path), "--json"]).output
    group = json.loads(document)["failures"][1]
    assert group["headline"] == "KeyError: 'n'"
    assert group["example"] == {"index": 5, "params": {"dt": 0.1, "n": 5}, "host": "n1"}


def test_conditions_select_by_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeSweep(tmp_path, grid(dt=[0.1, 0.5], n=list(range(7))), python=PYTHON)
    made.plan()
    made.handed_in()
    made.run(restart=1, SLURMD_NODENAME="n7")
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    sweep = Sweep(str(made.path))
    failed = [5, 7, 8, 9, 10, 11, 12]
    for where, indices in {
        "status == 'failed'": failed,
        "reason == 'error' and n < 5": failed[1:-1],
        "reason == None": [index for index in range(14) if index not in failed],
        "host == 'n7' and dt > 0.1": list(range(7, 14)),
        "host == 'n1' or attempt != 1 or stale": [],
        "wall_seconds >= 0 and status != 'complete'": failed,
        "attempt == 1 and n == 6": [6, 13],
    }.items():
        found = [row["index"] for row in sweep.query(where, columns=["index"])]
        assert (where, found) == (where, indices)


def test_the_error_of_a_command_is_in_tables_and_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "echo reading {x}; echo URL postgresql://me:secret@h/d >&2; echo bad {x} >&2; exit 3"
    argv = ["/bin/sh", "-c", script]
    made = MadeSweep(tmp_path, manual([{"x": x} for x in range(3)]), argv=argv)
    made.plan()
    made.handed_in()
    made.run()
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    row, *_ = Sweep(str(made.path)).query()
    assert "secret" not in row["error"]
    assert row["error"].startswith("its process ended with exit code 3: URL postgresql://me:")
    assert row["error"].endswith("\nbad 0")
    (group,) = status(made.directory, None, Settings()).failures
    assert (group.count, group.suspect) == (3, None)


@pytest.mark.parametrize(
    ("kind", "message", "text"),
    [
        ("AssertionError", "", "AssertionError"),
        ("KeyError", "'omega'", "KeyError: 'omega'"),
        ("KeyError", "", "KeyError"),
        ("ValueError", "no root", "no root"),
    ],
)
def test_an_exception_without_a_message_is_told_by_its_type(
    kind: str, message: str, text: str
) -> None:
    assert error_message(json.dumps({"type": kind, "message": message})) == text


def test_a_text_without_a_last_newline_ends_before_the_next_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = [("a.txt", "no newline"), ("b.txt", "line\n")]
    logs = CaseLogs(index=0, case_id="f", state="complete", attempts=[], texts=texts)
    shown = "case f, index 0: complete\n==> a.txt\nno newline\n==> b.txt\nline\n"
    assert str(logs) == shown
    print_logs(logs)
    assert capsys.readouterr().out == shown


def test_logs_show_the_last_state_of_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [("a.txt", "\r 1%\r50%\r99%\r\nWindows\r\ndone")]
    logs = CaseLogs(index=0, case_id="f", state="complete", attempts=[], texts=texts)
    print_logs(logs)
    assert capsys.readouterr().out.endswith("==> a.txt\n99%\nWindows\ndone\n")
    assert logs.to_json()["texts"][0]["text"] == texts[0][1]
