"""The calls of sbatch in an hour, counted over all processes of a user."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from hpcsweep.errors import ClusterError
from hpcsweep.settings import state_home
from hpcsweep.submission.hourly_calls import HOUR_S, HourlyCalls


def calls(most: int | None) -> HourlyCalls:
    return HourlyCalls.on("big/cluster", "", most)


def test_calls_are_left_until_they_are_taken() -> None:
    assert calls(5).left() == 5
    calls(5).take(2)
    calls(5).take(2)
    assert calls(5).left() == 1
    with pytest.raises(ClusterError, match=r"submissions_per_hour is 5, and 4 calls") as caught:
        calls(5).take(2)
    assert caught.value.transient
    assert calls(5).left() == 1  # what was refused is not noted
    assert calls(3).left() == 0


def test_calls_of_sweeps_without_a_limit_count_for_those_with_one() -> None:
    calls(None).take(3)
    assert calls(None).left() is None
    assert calls(5).left() == 2
    assert HourlyCalls.on("other", "", 5).left() == 5
    assert HourlyCalls.on("big/cluster", "/emulated", 5).left() == 5


def test_a_call_counts_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time() // HOUR_S * HOUR_S + 1800
    clock = {"now": now}
    monkeypatch.setattr(time, "time", lambda: clock["now"])
    calls(2).take(2)
    clock["now"] = now + HOUR_S - 1
    assert calls(2).left() == 0
    at = time.strftime("%H:%M", time.localtime(now + HOUR_S))
    assert calls(2).exhausted().next_step == f"Run the same command again from {at} on."
    clock["now"] = now + HOUR_S + 1
    assert calls(2).left() == 2
    clock["now"] = now + 3 * HOUR_S
    calls(2).take(1)
    files = [path.name for path in calls(2).directory.iterdir() if path.name.isdecimal()]
    assert files == [str(int(clock["now"]) // HOUR_S)]  # older hours are gone


def test_many_at_once_take_no_more_than_there_are() -> None:
    taken: list[int] = []

    def take() -> None:
        try:
            calls(6).take(2)
        except ClusterError:
            return
        taken.append(2)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 6
    assert calls(6).left() == 0


def test_a_torn_line_is_no_call() -> None:
    calls(5).take(1)
    (path,) = [path for path in calls(5).directory.iterdir() if path.name.isdecimal()]
    path.write_bytes(path.read_bytes() + b"17\x00")
    assert calls(5).left() == 4


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert state_home() == tmp_path / "file" / "hpcsweep"
    calls(None).take(1)
    with pytest.raises(ClusterError, match="needs a place for a count of calls"):
        calls(5).take(1)
