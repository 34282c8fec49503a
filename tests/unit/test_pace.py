"""How fast cases end, and the forecast that `status` makes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.cli.render.summary import print_summary
from hpcsweep.cluster.jobs import Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state.cluster_memory import FILE, read_memory
from hpcsweep.state.pace import Pace, noted, pace_of
from hpcsweep.state.remarks import pace_text
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from tests.support.sweeps import MadeSweep

NOW = 100_000.0


def test_counts_are_kept_for_an_hour_one_a_minute() -> None:
    counts = noted([], NOW, 0)
    for second in range(1, 3 * 3600):
        counts = noted(counts, NOW + second, second)
    assert len(counts) == 61
    assert counts[0][0] == pytest.approx(NOW + 2 * 3600, abs=60)


def test_a_look_after_a_long_time_goes_back_to_the_last_one() -> None:
    counts = noted([[NOW - 9e4, 1], [NOW - 8e4, 3], [NOW - 7e4, 5]], NOW, 40)
    assert counts == [[NOW - 7e4, 5], [NOW, 40]]


@pytest.mark.parametrize("wrong", [[NOW + 5, 1], [NOW - 600, 8]], ids=["ahead", "run again"])
def test_counts_that_cannot_be_are_left_out(wrong: list[float]) -> None:
    assert noted([wrong], NOW, 7) == [[NOW, 7]]


def test_the_rate_and_its_spread() -> None:
    found = pace_of([[NOW - 1800, 20], [NOW, 120]], 0.0, NOW, 120, 300)
    assert found == Pace(ended=100, seconds=1800.0, left=300)
    assert found.per_hour == 200
    assert found.left_s == pytest.approx((5400, 5400 / 1.1, 5400 / 0.9))
    assert pace_text(found) == (
        "200 cases an hour in the last 30 min; at this rate the other 300 take 90 min "
        "(82 min to 100 min)"
    )


def test_nothing_ran_before_the_submission() -> None:
    found = pace_of([[NOW - 9000, 20], [NOW, 60]], NOW - 600, NOW, 60, 1)
    assert found == Pace(ended=40, seconds=600.0, left=1)


@pytest.mark.parametrize(
    ("first", "ended"), [([NOW - 59, 0], 9), ([NOW - 600, 9], 9)], ids=["too short", "nothing"]
)
def test_no_rate(first: list[float], ended: int) -> None:
    assert pace_of([first, [NOW, ended]], 0.0, NOW, ended, 5) is None


def test_few_cases_make_no_forecast() -> None:
    few = Pace(ended=9, seconds=3600.0, left=5)
    assert few.left_s is None
    assert pace_text(few) == "9 cases an hour in the last 60 min"
    assert few.to_json()["left_s_most"] is None


class Queue:
    """A Slurm that runs the array tasks of job 100 from the second on."""

    kind, state_dir, address, is_own = "slurm", "", "here", False

    def limits(self) -> Limits:
        return Limits(cluster_name="test", max_array_size=1001, kill_wait_s=30.0)

    def poll_queue(self, _: Any) -> dict[tuple[str, int], Queued]:
        return {("100", task): Queued("RUNNING", "", None) for task in (1, 2)}


def look(made: MadeSweep) -> Summary:
    return status(made.directory, Queue(), Settings(query_interval_s=0.0))  # type: ignore[arg-type]


def test_status_counts_from_the_first_submission_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(36))))
    made.plan(chunk_size=12)
    made.fact("intent", job_name="s.1.0", time=time.time())
    made.fact("job", job_id="100", time=time.time())
    made.run(0)
    assert look(made).pace is None  # it was submitted just now
    kept = read_memory(made.path / FILE)["progress"]
    assert [count for _, count in kept] == [0]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1200)
    summary = look(made)
    assert summary.pace is not None
    assert (summary.pace.ended, summary.pace.left) == (12, 24)
    assert [count for _, count in read_memory(made.path / FILE)["progress"]] == [0, 12]
    print_summary(summary)
    printed = capsys.readouterr().out
    assert "at this rate the other 24 take" in printed
    assert "complete cases: the slowest took" in printed
