"""Kills at each call of what a program does with the library: the same again repairs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.lives import LIVES, STAGES, row_of
from tests.support.fixtures import Scale


@pytest.mark.parametrize("life", [life for life in LIVES if life not in STAGES])
def test_a_program_killed_at_each_call_completes_when_run_again(
    tmp_path: Path, life: str, scale: Scale, turn: int
) -> None:
    row = row_of(life, tmp_path, scale(15, 1), turn)
    assert row.problems == []
    assert row.recovered == row.fired == row.tried > 0


def test_a_stage_killed_at_each_call_is_sent_once_when_tried_again(
    tmp_path: Path, scale: Scale, turn: int
) -> None:
    for at in range(scale(1, len(STAGES))):
        life, step = [*STAGES.items()][(turn + at) % len(STAGES)]
        (tmp_path / str(at)).mkdir()
        row = row_of(life, tmp_path / str(at), scale(step, 1), turn)
        assert row.problems == []
        assert row.recovered == row.fired == row.tried > 0
