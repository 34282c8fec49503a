"""Tasks in a container: what it sees, how it is started, and what becomes of its failures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import hpcsweep
from tests.support.apptainer import Apptainer, make_image
from tests.support.clusters import HPCSWEEP, emulated
from tests.support.here import Here, here
from tests.support.pythons import bare_python

__all__ = ["emulated", "here"]

TARGET = """\
import os
import sys


def run(x, log):
    (log.path / "x").write_text(str(x))
    return {
        "interpreter": sys.executable,
        "cwd": os.getcwd(),
        "sees": [path for path in ("/home", os.environ["OWN"]) if os.path.exists(path)],
        "importable": [name for name in ("click", "pydantic") if can_import(name)],
    }


def can_import(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
"""
KEYS = "name: s\nsource: {grid: {x: [1, 2]}}\ncontainer: image.sif\n"
PACKAGE = Path(hpcsweep.__file__).parent


@pytest.fixture
def apptainer(here: Here) -> Apptainer:
    """The stand-in on PATH."""
    made = Apptainer.install(here.path / "bin")
    here.patch.setenv("PATH", made.path)
    here.patch.setenv("OWN", str(Path(hpcsweep.__file__).parents[1] / "tests"))
    return made


def write_project(here: Here, keys: str = "") -> str:
    """A target, and an image with a Python of another version. Returns that Python."""
    python = bare_python()
    make_image(here.path / "image.sif", python.parents[1])
    here.write("t.py", TARGET)
    here.write("m.yaml", f"{KEYS}target: t.py:run\npython: {python}\n{keys}")
    return str(python)


def test_worker_and_target_run_in_the_container(here: Here, apptainer: Apptainer) -> None:
    python = write_project(here)
    here.finishes()
    rules = json.loads((here.sweep / "submissions/0001/plan.json").read_text())["worker"]
    assert rules["ingest"] is False  # commands ingest the journals of a container
    rows = here.rows()
    for row in rows:
        assert row["interpreter"] == python
        assert (row["cwd"], row["importable"]) == (str(here.path), [])
        if os.geteuid() == 0:
            assert row["sees"] == []
        assert (here.sweep / row["run_dir"] / "x").read_text() == str(row["x"])
    starts = [call for call in apptainer.calls if "hpcsweep.worker.__main__" in call]
    assert len(starts) == 2
    for call in starts:
        assert call[:10] == [
            "exec",
            *("--bind", str(here.path)),
            *("--bind", str(here.sweep)),
            *("--bind", str(PACKAGE)),
            *("--pwd", str(here.path)),
            "--bind",
        ]
        assert Path(call[10]).is_dir()  # TMPDIR
        assert call[11:] == [
            f"{here.path}/image.sif",
            python,
            *(f"{PACKAGE}/bootstrap.py", "hpcsweep.worker.__main__", str(here.sweep), "1", "0"),
        ]


def test_a_command_runs_in_the_container(here: Here, apptainer: Apptainer) -> None:
    python = write_project(here)
    script = "import sys; sys.exit(3 if sys.argv[1] == '2' else 0)"
    command = f"""command: ["{python}", -c, "{script}", "{{x}}"]\n"""
    here.write("m.yaml", f"{KEYS}{command}python: {python}\n")
    here.cli("submit", "m.yaml", "--wait", code=9)
    first, second = here.rows()
    assert (first["status"], second["status"], second["reason"]) == (
        "complete",
        "failed",
        "exit_code",
    )
    assert len(apptainer.calls) >= 2


@pytest.mark.usefixtures("apptainer")
def test_an_image_that_cannot_be_started_is_refused(here: Here) -> None:
    write_project(here)
    here.write("image.sif", "no image\n")
    message = here.refuses(4, "submit", "m.yaml")
    assert "m.yaml:3: `container: " in message
    assert "ended with exit code 255: FATAL:   could not open image" in message


@pytest.mark.usefixtures("apptainer")
def test_an_option_that_apptainer_does_not_know_is_refused(here: Here) -> None:
    write_project(here, "container_args: [--unheard-of]\n")
    assert "unknown flag: --unheard-of" in here.refuses(4, "submit", "m.yaml")


def test_without_apptainer_nothing_is_submitted(here: Here) -> None:
    write_project(here)
    message = here.refuses(4, "submit", "m.yaml")
    assert "m.yaml:3: `container: " in message
    assert "neither apptainer nor singularity is on the PATH of" in message


def test_a_node_without_apptainer_is_a_failed_setup(here: Here) -> None:
    setup = 'setup: ["export PATH=$PWD/bin$SLURM_ARRAY_TASK_ID:$PATH"]\n'
    write_project(here, f"chunk: 1\n{setup}")
    here.patch.setenv("OWN", "/")
    for name in ("bin", "bin0"):  # on PATH before the submission, and in the first task
        Apptainer.install(here.path / name, "singularity")
    here.cli("submit", "m.yaml", "--wait", code=9)
    first, second = here.rows()
    assert (first["status"], second["status"], second["reason"]) == ("complete", "failed", "setup")
    assert "m.yaml:3" in second["error"]


def test_a_case_here_runs_in_the_container(here: Here, apptainer: Apptainer) -> None:
    write_project(here)
    argv = [HPCSWEEP, "run", "m.yaml", "--index", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"importable": []' in done.stdout
    (run,) = (here.path / "outputs/s.local").glob("log_*")
    assert (run / "x").read_text() == "2"
    assert "hpcsweep.worker.local" in apptainer.calls[-1]
