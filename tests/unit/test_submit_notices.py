"""The notices of a submission."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.records import Resources
from hpcsweep.sources import grid
from hpcsweep.state.array_tasks import ArrayTasks
from hpcsweep.submission.notices import cancelled_notice, short_time_notice
from hpcsweep.submission.request import SubmitRequest

SHORT = "the time limit 00:30 is 30 s: sbatch reads it as minutes and seconds; 00:30:00 is 30 min"


@pytest.mark.parametrize(
    ("limit", "notice"),
    [
        ("00:30", SHORT),
        ("0:59", "the time limit 0:59 is 59 s: sbatch"),
        ("01:00", ""),
        ("00:00:30", ""),
        ("0-0:30", ""),
        ("30", ""),
        ("UNLIMITED", ""),
        ("", ""),
    ],
)
def test_a_limit_of_seconds_that_may_be_meant_as_minutes(limit: str, notice: str) -> None:
    source = grid(x=[1])
    manifest = FrozenManifest(
        name="s",
        root="/",
        target=Target(argv=("true",)),
        source=source.to_frozen_dict(),
        resources=Resources(options={"time": limit} if limit else {}),
    )
    request = SubmitRequest(manifest=manifest, source=source, path=Path("/s"))
    found = short_time_notice(request)
    assert found.startswith(notice)
    assert bool(found) == bool(notice)


def test_when_cancelled_tasks_of_another_cluster_are_over_is_not_promised() -> None:
    tasks = ArrayTasks(certain_from=0.0)
    done: Any = SimpleNamespace(cancelled=IndexSet.all(1), outlook=SimpleNamespace(tasks=tasks))
    assert "1 of them is in array tasks that were cancelled, and it is cert" in cancelled_notice(
        done
    )
    tasks.problem = "this is the cluster beta, the tasks are on alpha"
    assert cancelled_notice(done) == (
        "1 of them is in array tasks that were cancelled; that these are over is known once their "
        "cluster answers: this is the cluster beta, the tasks are on alpha"
    )
