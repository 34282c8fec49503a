"""The time and memory that tasks ask for, from what complete cases used, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpcsweep.cluster.ceilings import Ceiling
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Resources
from hpcsweep.sources import arange, grid
from hpcsweep.state.outlook import Outlook
from hpcsweep.store.measured import Measured
from hpcsweep.submission.policy import UNASKED, Policy, decide
from hpcsweep.submission.sizing import with_memory, with_time
from tests.support.simulated_site import version_of

MIB = 1 << 20
MEASURED = Measured(cases=5, mean_s=60.0, longest_s=90.0, max_rss_bytes=512 * MIB)
VERSION = version_of(grid(x=arange(0, 1000, 1)))


@pytest.mark.parametrize(
    ("options", "slots", "mem"),
    [
        # 1.5 times the largest case, and 256 MiB for the worker.
        ({}, 1, "1024M"),
        ({"cpus-per-task": "4"}, 4, "3328M"),
        # What the manifest says stays.
        ({"mem": "100M"}, 1, "100M"),
        ({"mem-per-cpu": "100M"}, 1, None),
        # Of several processes only the largest was measured, and a whole node has its own.
        ({"cpus-per-task": "4"}, 1, None),
        ({"cpus-per-task": "8"}, 4, None),
        ({"ntasks": "2"}, 1, None),
        ({"exclusive": ""}, 1, None),
    ],
)
def test_memory(options: dict[str, str], slots: int, mem: str | None) -> None:
    found = with_memory(Resources(options=options), MEASURED, slots, {})
    assert found.options.get("mem") == mem


@pytest.mark.parametrize(
    "measured",
    [None, replace(MEASURED, cases=2), replace(MEASURED, max_rss_bytes=None)],
)
def test_without_enough_cases_nothing_is_sized(measured: Measured | None) -> None:
    asked = Resources(options={"partition": "main"})
    assert with_memory(asked, measured, 1, {}) == asked
    if measured is None or measured.cases < 3:
        assert with_time(asked, measured, 10, {}) == asked


@pytest.mark.parametrize(
    ("cases", "time"),
    [
        # Twice what is likely if one is the longest; at least ten minutes, in steps of five.
        (1, "00:10:00"),
        (5, "00:15:00"),
        (30, "01:05:00"),
        (1000, "1-09:25:00"),
    ],
)
def test_time(cases: int, time: str) -> None:
    assert with_time(Resources(), MEASURED, cases, {}).options == {"time": time}
    given = Resources(options={"time": "00:01:00"})
    assert with_time(given, MEASURED, cases, {}) == given


def test_no_more_is_asked_for_than_the_cluster_gives() -> None:
    caps = {"mem": 700 * MIB, "time": 1800}
    assert with_memory(Resources(), MEASURED, 1, caps).options == {"mem": "700M"}
    assert with_time(Resources(), MEASURED, 30, caps).options == {"time": "00:30:00"}


def after_canary() -> Outlook:
    canary = IndexSet.of([0, 999])
    (group,) = Outlook.of_nothing(VERSION).groups
    return Outlook(
        version=VERSION,
        groups=(replace(group, indices=group.indices - canary),),
        owed=IndexSet.all(1000) - canary,
        measured=MEASURED,
    )


@pytest.mark.parametrize(
    ("policy", "options", "chunk"),
    [
        (Policy(sizes=True), {"mem": "1024M", "time": "00:25:00"}, 10),
        (Policy(sizes=True, chunk=30), {"mem": "1024M", "time": "01:05:00"}, 30),
        # Four cases at once, ten minutes of them one after the other.
        (
            Policy(sizes=True, slots=4, resources=Resources(options={"cpus-per-task": "4"})),
            {"cpus-per-task": "4", "mem": "3328M", "time": "00:25:00"},
            40,
        ),
        (Policy(), {}, 10),
    ],
)
def test_the_rest_is_sized_where_there_was_a_canary(
    policy: Policy, options: dict[str, str], chunk: int
) -> None:
    (batch,) = decide(after_canary(), replace(policy, advances=True), UNASKED)
    assert batch.indices.count == 998
    assert (batch.resources.options, batch.chunk_size) == (options, chunk)


def test_the_chunk_fits_into_the_longest_time_of_the_partition() -> None:
    outlook = Outlook.of_nothing(VERSION)
    hour = Measured(cases=9, mean_s=20.0, longest_s=20.0)
    policy = Policy(sizes=True)
    limits = replace(UNASKED, ceilings=(Ceiling("time", 400, "MaxTime of the partition"),))
    (batch,) = decide(replace(outlook, measured=hour), policy, limits)
    assert (batch.chunk_size, batch.resources.options) == (15, {"time": "00:06:40"})
