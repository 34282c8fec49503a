"""The launcher: a submit checks the same program that a task runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpcsweep.cluster.slurm.text import SCRIPTS
from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import SetupLine
from hpcsweep.submission.script import Script
from hpcsweep.worker import launcher as module
from hpcsweep.worker.interpreter import Interpreter
from hpcsweep.worker.launcher import Launcher


def make(root: Path, *texts: str) -> Launcher:
    lines = tuple(SetupLine(text=text, where=f"m.yaml:{n}") for n, text in enumerate(texts, 1))
    return Launcher(setup=lines, interpreter=Interpreter(own=sys.executable), root=root)


def test_the_batch_script_has_the_lines_as_the_check_runs_them(tmp_path: Path) -> None:
    launcher = make(tmp_path, "module load 'a b'", "export A=$(b)")
    script = Script(
        form=SCRIPTS, sweep_name="s", options={}, launcher=launcher, sweep_dir="/s", submission=1
    ).render()
    before, after = launcher.setup_script("CUT").split("CUT")
    assert before in script
    assert after in script


def test_a_program_runs_behind_the_lines_and_answers_apart_from_its_output(tmp_path: Path) -> None:
    (tmp_path / "env.sh").write_text("export A=1\n")
    launcher = make(tmp_path, "source env.sh", "echo loud")
    ran = launcher.run("""bash -c 'echo "$A$B"; echo bad >&2; exit 3'""", {"B": "2"})
    assert (ran.returncode, ran.answer, ran.printed) == (3, b"12\n", ["loud", "bad"])


def test_without_lines_a_program_just_runs(tmp_path: Path) -> None:
    launcher = make(tmp_path)
    assert launcher.setup_script("exit 1") == ""
    assert launcher.run("bash -c pwd", {}).answer == b"%s\n" % bytes(tmp_path)


def test_a_line_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="`false` ended with exit code 1: last words") as caught:
        make(tmp_path, "echo last words", "false").run("true", {})
    assert caught.value.where == "m.yaml:2"


def test_setup_lines_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    launcher = make(tmp_path, "echo $BASHPID > pid; sleep 100")
    with pytest.raises(TimeoutError, match=r"did not end within 0\.3 s"):
        launcher.run("true", {})
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_file_with_the_line_ends_of_windows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env.sh").write_bytes(b"export A=1\r\n")
    with pytest.raises(TargetError) as caught:
        make(tmp_path, "true", "source env.sh").refuse_windows_files()
    assert caught.value.where == "m.yaml:2"
