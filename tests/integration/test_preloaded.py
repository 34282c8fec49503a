"""A forked `hpcsweep` is like one that was started: what `tests/support/preloaded.py` promises."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP
from tests.support.here import GOOD, TARGET
from tests.support.preloaded import Preloaded, run

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
