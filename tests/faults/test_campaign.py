"""A part of the standing campaign, with other kills and errors each day; `--soak` runs all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import ERRORS, Campaign, Row
from tests.faults.commands import COMMANDS, subjects
from tests.support.fixtures import Scale


def check(row: Row) -> None:
    assert row.problems == []
    assert row.recovered == row.fired


@pytest.mark.parametrize("name", ["worker", "child"])
def test_a_struck_task_is_made_good_by_the_next(
    tmp_path: Path, name: str, turn: int, scale: Scale
) -> None:
    with subjects(tmp_path / "subjects", lambda one: one.startswith(name)) as found:
        campaign = Campaign(tmp_path, turn)
        for one in found:
            row = campaign.kills(one, scale(2, 20))
            assert row.fired == row.tried > 0
            check(row)
        for error in sorted(ERRORS)[turn % 2 :: scale(4, 1)]:
            check(campaign.errors(found[turn % len(found)], error, scale(1, 10)))


def test_a_killed_command_is_repaired_by_running_it_again(
    tmp_path: Path, turn: int, scale: Scale
) -> None:
    for at in range(scale(1, len(COMMANDS))):
        name = COMMANDS[(turn + at) % len(COMMANDS)]
        with subjects(tmp_path / name, name.__eq__) as found:
            campaign = Campaign(tmp_path, turn)
            row = campaign.kills(found[0], scale(1, 10))
            assert row.fired > 0  # programs that poll make other calls each time
            check(row)
            error = sorted(ERRORS)[turn % len(ERRORS)]
            check(campaign.errors(found[0], error, scale(1, 5)))
