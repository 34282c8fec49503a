"""A retry asks for more of the resource that ran out and of no other, up to the caps."""

from __future__ import annotations

import pytest

from hpcsweep.manifest.policies import Retry
from hpcsweep.records import Reason, Resources
from hpcsweep.state.escalation import escalated, useless_retries

GIB = 1 << 30
OOM, TIMEOUT = Reason.OUT_OF_MEMORY, Reason.TIMEOUT


def options(**given: str) -> Resources:
    return Resources(options={name.replace("_", "-"): value for name, value in given.items()})


@pytest.mark.parametrize(
    ("asked", "reason", "more"),
    [
        ({"mem": "2G", "time": "10"}, OOM, {"mem": "3072M", "time": "10"}),
        ({"mem": "2G", "time": "10"}, TIMEOUT, {"mem": "2G", "time": "00:20:00"}),
        (
            {"mem_per_cpu": "1G", "cpus_per_task": "4"},
            OOM,
            {"mem_per_cpu": "1536M", "cpus_per_task": "4"},
        ),
        ({"mem": "2G", "time": "10"}, Reason.NODE_FAIL, {"mem": "2G", "time": "10"}),
        # Neither the request nor the use is known.
        ({"time": "10"}, OOM, None),
        ({"mem": "0"}, OOM, None),
        # The limit was the partition's own.
        ({"mem": "2G"}, TIMEOUT, None),
        ({"time": "UNLIMITED"}, TIMEOUT, None),
    ],
)
def test_more_of_what_ran_out(
    asked: dict[str, str], reason: Reason, more: dict[str, str] | None
) -> None:
    found = escalated(options(**asked), reason, Retry())
    assert found == (None if more is None else options(**more))


@pytest.mark.parametrize(("used", "mem"), [(3 * GIB, "4608M"), (GIB, "3072M"), (None, "3072M")])
def test_memory_starts_from_what_was_used(used: int | None, mem: str) -> None:
    assert escalated(options(mem="2G"), OOM, Retry(), used) == options(mem=mem)


def test_memory_that_was_never_asked_for_starts_from_what_was_used() -> None:
    assert escalated(options(time="10"), OOM, Retry(), GIB) == options(time="10", mem="1536M")


def test_a_task_with_all_memory_of_its_node_can_have_no_more() -> None:
    assert escalated(options(mem="0"), OOM, Retry(), GIB) is None


@pytest.mark.parametrize(
    ("most", "caps", "found"),
    [
        ({"mem": 2560 << 20}, {}, "2560M"),
        ({}, {"mem": 2560 << 20}, "2560M"),
        ({"mem": 4 * GIB}, {"mem": 2560 << 20}, "2560M"),
        ({"mem": 2 * GIB}, {}, None),
        ({}, {"mem": GIB}, None),
        ({"time": 60}, {}, "3072M"),
    ],
)
def test_caps(most: dict[str, int], caps: dict[str, int], found: str | None) -> None:
    asked = options(mem="2G")
    expected = None if found is None else options(mem=found)
    assert escalated(asked, OOM, Retry(most=most), None, caps) == expected


def test_a_cap_is_of_the_whole_task() -> None:
    asked = options(mem_per_cpu="1G", cpus_per_task="4")
    found = escalated(asked, OOM, Retry(most={"mem": 5 * GIB}))
    assert found == options(mem_per_cpu="1280M", cpus_per_task="4")


def test_time_is_capped() -> None:
    asked = options(time="00:10:00")
    assert escalated(asked, TIMEOUT, Retry(most={"time": 900})) == options(time="00:15:00")
    assert escalated(asked, TIMEOUT, Retry(most={"time": 600})) is None


@pytest.mark.parametrize(
    ("asked", "on", "caps", "found"),
    [
        ({"mem": "2G", "time": "60"}, (OOM, TIMEOUT), {"time": 3600}, [(TIMEOUT, "time")]),
        ({"mem": "2G", "time": "60"}, (OOM, TIMEOUT), {"time": 3601, "mem": 3 * GIB}, []),
        ({"mem": "2G", "time": "60"}, (OOM, TIMEOUT), {}, []),
        ({"mem": "2G", "time": "60"}, (Reason.LOST,), {"time": 3600, "mem": GIB}, []),
        # Memory of the whole node, and what was not asked for.
        ({"mem": "0"}, (OOM, TIMEOUT), {"time": 3600, "mem": 2 * GIB}, [(OOM, "mem")]),
        (
            {"mem_per_cpu": "1G", "cpus_per_task": "4"},
            (OOM,),
            {"mem": 4 * GIB},
            [(OOM, "mem-per-cpu")],
        ),
    ],
)
def test_retries_that_could_ask_for_no_more(
    asked: dict[str, str],
    on: tuple[Reason, ...],
    caps: dict[str, int],
    found: list[tuple[Reason, str]],
) -> None:
    assert [*useless_retries(options(**asked), Retry(on=frozenset(on)), caps)] == found
