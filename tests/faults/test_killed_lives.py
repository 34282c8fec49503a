"""Kills at each call of what a program does with the library: the same again repairs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.lives import environment
from tests.support.fixtures import Scale

ROOT = Path(__file__).parents[2]
LIVES = [
    *(f"tests.faults.logbook_lives:{name}" for name in (
        "Begun", "Overwriting", "Failing", "Added", "Saved", "Completed",
    )),
    *(f"tests.faults.cache_lives:{name}" for name in (
        "Deleted", "Forgotten", "Made", "Registered", "Swept", "Rebuilt",
    )),
]  # fmt: skip


@pytest.mark.parametrize("life", LIVES)
def test_a_life_killed_at_each_call_is_lived_again(
    tmp_path: Path, life: str, scale: Scale, turn: int
) -> None:
    argv = [sys.executable, "-m", "tests.faults.lives", life, str(tmp_path)]
    done = subprocess.run(
        [*argv, str(scale(6, 1)), str(turn)], cwd=ROOT, env=os.environ | environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["problems"] == []
    assert row["recovered"] == row["fired"] == row["tried"] > 0
