"""A forked program is like a started one: what `tests/support/preloaded.py` promises."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hpcsweep.sources import grid
from tests.support.clusters import HPCSWEEP
from tests.support.here import GOOD, TARGET
from tests.support.preloaded import Preloaded, run
from tests.support.sweeps import MadeSweep

CLI_S = 60.0
MASK = 0o27


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(GOOD)
    (tmp_path / "t.py").write_text(TARGET)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["plan", "m.yaml"], 0),
        (["status", "nowhere"], 5),
        (["submit", "m.yaml", "--cluster", "nothing"], 3),
        (["no-such-command"], 2),
    ],
)
def test_a_forked_command_answers_as_a_started_one(
    place: Path, arguments: list[str], code: int
) -> None:
    argv = [HPCSWEEP, *arguments]
    started = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
    forked = run(argv, place, os.environ, CLI_S)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        started.returncode, started.stdout, started.stderr,
    )  # fmt: skip
    assert forked.returncode == code


def test_a_forked_command_has_its_own_surroundings(place: Path) -> None:
    before = os.umask(MASK)
    try:
        done = run([HPCSWEEP, "init"], place, {**os.environ, "HOME": str(place)}, CLI_S)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    made = {path for path in place.iterdir() if path.name not in ("m.yaml", "t.py")}
    assert made
    assert not any(path.stat().st_mode & MASK for path in made)


def test_what_python_reads_at_its_start_needs_a_new_process(place: Path) -> None:
    server = Preloaded()
    assert server.suits(os.environ)
    assert not server.suits({**os.environ, "PYTHONPATH": str(place)})
    assert not server.suits({**os.environ, "LD_PRELOAD": "libc.so.6"})
    server.close()


OF_ITS_OWN = ("SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID", "HPCSWEEP_CASE_ID", "HPCSWEEP_SEED")
OF_THE_SERVER = {
    "_socket",
    "array",
    "hpcsweep.worker.__main__",
    "pkgutil",
    "selectors",
    "socket",
} | {
    "tests",
    "tests.support",
}
SURROUNDINGS = """\
import os, signal, sys

def run(x):
    return {
        "argv": sys.argv,
        "path": sys.path,
        "main": sys.modules["__main__"].__file__,
        "cwd": os.getcwd(),
        "input": os.readlink("/proc/self/fd/0"),
        "signals": {one: str(signal.getsignal(one)) for one in signal.valid_signals()},
        "environment": dict(os.environ),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "modules": sorted(sys.modules),
    }
"""


def test_a_forked_worker_is_as_a_started_one(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=SURROUNDINGS)
    made.plan(chunk_size=1)
    made.run(0)
    with made.start(1) as task:
        assert task.communicate() == ("", "")
    forked, started = (made.ends()[index]["metrics"] for index in (0, 1))
    for metrics in (forked, started):
        for name in OF_ITS_OWN:
            metrics["environment"].pop(name, None)
    # By the server, and what Python has as `__main__` of a started one.
    more = set(forked.pop("modules")) - set(started.pop("modules"))
    assert more <= OF_THE_SERVER
    assert forked == started
