"""Kills at each call of what a program does with the library: the same again repairs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.lives import LIVES, row_of
from tests.support.fixtures import Scale


@pytest.mark.parametrize("life", LIVES)
def test_a_program_killed_at_each_call_completes_when_run_again(
    tmp_path: Path, life: str, scale: Scale, turn: int
) -> None:
    row = row_of(life, tmp_path, scale(15, 1), turn)
    assert row.problems == []
    assert row.recovered == row.fired == row.tried > 0
