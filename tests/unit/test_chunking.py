"""How many cases an array task runs, from how long a case takes, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpcsweep.cli.render.plan import print_plan
from hpcsweep.cluster.ceilings import Ceiling
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import duration
from hpcsweep.records import CaseNeeds, Resources
from hpcsweep.sources import arange, grid
from hpcsweep.state.outlook import Outlook
from hpcsweep.store.measured import Measured
from hpcsweep.submission.chunking import Estimate, chunk_size, estimate_of
from hpcsweep.submission.policy import UNASKED, Policy, decide
from hpcsweep.sweepdir.parts import make_node_parts, make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from hpcsweep.sweepdir.version import Version
from tests.support.simulated_site import version_of


def sized(
    count: int,
    mean_s: float,
    time: str = "",
    *,
    longest_s: float | None = None,
    chunk: int | None = None,
    limits: Limits = UNASKED,
) -> int:
    estimate = Estimate(mean_s=mean_s, longest_s=longest_s or mean_s, source="measured")
    resources = Resources(options={"time": time} if time else {})
    return chunk_size(count, chunk, estimate, resources, limits)


@pytest.mark.parametrize(
    ("count", "mean_s", "size"),
    [
        # Half an hour, rounded down to whole cases; a longer case is a task of its own.
        (10_000, 60.0, 30),
        (10_000, 700.0, 10),
        (3_000, 1000.0, 3),
        (500, 1000.0, 1),
        (500, 10_000.0, 1),
        # Few tasks become more, down to ten minutes,
        (1_000, 60.0, 10),
        (100, 60.0, 10),
        (2_000, 60.0, 20),
        (5, 60.0, 5),
        # and many fewer, up to two hours; beyond them the tasks are more than 1,000, up to 10,000.
        (60_000, 60.0, 60),
        (120_000, 60.0, 120),
        (1_000_000, 60.0, 120),
        (10**7, 60.0, 1000),
        (10**9, 60.0, 100_000),
        # Nobody computes a million cases of a microsecond in one task.
        (10**6, 1e-6, 10_000),
        (10**8, 0.0, 72_000),
        (1, 1.0, 1),
    ],
)
def test_a_task_takes_about_half_an_hour(count: int, mean_s: float, size: int) -> None:
    assert sized(count, mean_s) == size


@pytest.mark.parametrize(
    ("mean_s", "longest_s", "time", "size"),
    [
        # Three quarters of the limit, one of the cases being the longest.
        (60.0, 60.0, "00:30:00", 22),
        (60.0, 600.0, "00:30:00", 13),
        (60.0, 3000.0, "00:30:00", 1),
        (60.0, 60.0, "00:00:30", 1),
        (60.0, 60.0, "1-00:00:00", 30),
        (60.0, 60.0, "UNLIMITED", 30),
    ],
)
def test_the_cases_of_a_task_fit_into_its_time_limit(
    mean_s: float, longest_s: float, time: str, size: int
) -> None:
    assert sized(10_000, mean_s, time, longest_s=longest_s) == size


def test_a_given_chunk_is_taken_as_it_is() -> None:
    assert sized(10_000, 60.0, "00:10:00", chunk=500) == 500


def test_a_cluster_that_starts_all_tasks_at_once_gets_no_more_of_them() -> None:
    limits = replace(UNASKED, max_tasks=64)
    assert sized(6_400, 600.0, limits=limits) == 100
    with pytest.raises(InputError, match="more than the 64"):
        sized(6_400, 600.0, chunk=1, limits=limits)


def test_a_small_array_limit_makes_longer_tasks() -> None:
    assert sized(20_000, 60.0, limits=replace(UNASKED, max_array_size=201)) == 100


MEASURED = Measured(cases=8, mean_s=12.5, longest_s=20.0, max_rss_bytes=None)


@pytest.mark.parametrize(
    ("case_seconds", "measured", "expected"),
    [
        (None, None, None),
        (60.0, None, Estimate(mean_s=60.0, longest_s=60.0, source="case_seconds")),
        # What a user writes wins over what was measured.
        (60.0, MEASURED, Estimate(mean_s=60.0, longest_s=60.0, source="case_seconds")),
        (None, MEASURED, Estimate(mean_s=12.5, longest_s=20.0, source="measured")),
    ],
)
def test_where_the_seconds_come_from(
    case_seconds: float | None, measured: Measured | None, expected: Estimate | None
) -> None:
    assert estimate_of(case_seconds, measured) == expected


def test_a_submit_sends_chunks_of_half_an_hour() -> None:
    outlook = Outlook.of_nothing(version_of(grid(x=arange(0, 10_000, 1))))
    (unknown,) = decide(outlook, Policy(), UNASKED)
    assert (unknown.chunk_size, unknown.estimate) == (10, None)
    (told,) = decide(outlook, Policy(case_seconds=60.0), UNASKED)
    assert (told.chunk_size, told.tasks) == (30, 334)
    (found,) = decide(replace(outlook, measured=MEASURED), Policy(), UNASKED)
    assert (found.chunk_size, found.estimate) == (100, estimate_of(None, MEASURED))


@pytest.mark.parametrize(
    ("policy", "count", "size"),
    [
        (Policy(slots=4), 10_000, 12),
        (Policy(slots=4), 3, 4),
        (Policy(slots=4, case_seconds=60.0), 100_000, 120),  # half an hour in four slots
        (Policy(slots=4, chunk=3), 10_000, 3),
    ],
)
def test_a_chunk_fills_the_slots_of_its_task(policy: Policy, count: int, size: int) -> None:
    (sent,) = decide(Outlook.of_nothing(version_of(grid(x=arange(0, count, 1)))), policy, UNASKED)
    assert sent.chunk_size == size


# --- what people see -----------------------------------------------------------------------------


PLAN = Plan(
    submission=1,
    manifest="0" * 16,
    indices=IndexSet.all(1000),
    chunk_size=30,
    parts=make_parts(34, max_array_size=1001, throttle=0),
    layout=Layout(runs="all"),
)


def test_a_plan_says_where_the_seconds_come_from_and_what_it_costs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = version_of(grid(x=arange(0, 1000, 1)))
    manifest = replace(
        version.manifest,
        resources=Resources(options={"time": "01:00:00", "cpus-per-task": "4"}),
    )
    print_plan(PLAN, Version.of(manifest, version.source), 0, 0, UNASKED)
    shown = capsys.readouterr().out
    assert "34 array tasks of up to 30 cases each (chunk: auto, at most 1,000 tasks)" in shown
    assert "core-hours  at most 136.0\n" in shown
    print_plan(
        replace(PLAN, case_seconds=60.0, seconds_from="measured"),
        Version.of(manifest, version.source),
        0,
        0,
        UNASKED,
    )
    shown = capsys.readouterr().out
    assert "a case      about 60 s, the mean of complete cases" in shown
    assert "34 array tasks of up to 30 cases, about 30 min each (chunk: auto)" in shown
    assert "core-hours  at most 136.0; likely 66.7" in shown


@pytest.mark.parametrize(
    ("options", "needs", "shown"),
    [
        ({}, CaseNeeds(), None),
        (
            {"cpus-per-task": "4"},
            CaseNeeds(),
            "1 of 4 CPUs (`cpus_per_case: 1` would run 4 cases at once)",
        ),
        ({"cpus-per-task": "4"}, CaseNeeds(slots=4), "4 cases at once, 1 CPU each"),
        (
            {"cpus-per-task": "7", "gres": "gpu:2"},
            CaseNeeds(cpus=3, gpus=1, slots=2),
            "2 cases at once, 3 CPUs and 1 GPU each; 1 CPU of a task idle",
        ),
        (
            {"cpus-per-task": "2", "gres": "gpu:4"},
            CaseNeeds(gpus=1, slots=2),
            "2 cases at once, 1 CPU and 1 GPU each; 2 GPUs of a task idle",
        ),
        (
            {"cpus-per-task": "2", "gres": "gpu:4"},
            CaseNeeds(slots=2),
            "2 cases at once, 1 CPU each; `srun` takes all GPUs (`gpus_per_case` divides them)",
        ),
        (
            {"cpus-per-task": "64"},
            CaseNeeds(slots=64),
            "64 cases at once, 1 CPU each; a chunk has only 30",
        ),
        ({"exclusive": ""}, CaseNeeds(cpus=2), "as many as a whole node has room for"),
    ],
)
def test_a_plan_says_how_many_cases_run_at_once(
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    needs: CaseNeeds,
    shown: str | None,
) -> None:
    version = version_of(grid(x=arange(0, 1000, 1)))
    manifest = replace(version.manifest, resources=Resources(options=options), needs=needs)
    print_plan(PLAN, Version.of(manifest, version.source), 0, 0, UNASKED)
    rows = dict(line.strip().split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows.get("slots") == shown


@pytest.mark.parametrize(
    ("needs", "options", "shown"),
    [
        (CaseNeeds(), {"mem": "0"}, "up to 16 cases at once on each of 4 nodes, 1 CPU each"),
        (CaseNeeds(cpus=3), {"mem": "0"}, "up to 5 cases at once on each of 4 nodes, 3 CPUs each"),
        (
            CaseNeeds(cpus=1, mem_bytes=20 << 30),
            {"mem": "0"},
            "up to 3 cases at once on each of 4 nodes, 1 CPU each",
        ),
        (
            CaseNeeds(cpus=1, mem_bytes=20 << 30),
            {"mem": "50G"},
            "up to 2 cases at once on each of 4 nodes, 1 CPU each",
        ),
        (
            CaseNeeds(cpus=1, gpus=2),
            {"mem": "0", "gres": "gpu:8"},
            "up to 4 cases at once on each of 4 nodes, 1 CPU each",
        ),
        (
            CaseNeeds(cpus=1, slots=7),
            {"mem": "0"},
            "up to 7 cases at once on each of 4 nodes, 1 CPU each",
        ),
    ],
)
def test_a_plan_says_how_many_cases_run_on_a_whole_node(
    capsys: pytest.CaptureFixture[str], needs: CaseNeeds, options: dict[str, str], shown: str
) -> None:
    needs = replace(needs, cpus=needs.cpus or 1)
    node = Ceiling("cpus", 16, "its nodes"), Ceiling("mem", 64 << 30, "its nodes")
    options = {"exclusive": "", "nodes": "4", **options}
    version = version_of(grid(x=arange(0, 1000, 1)))
    manifest = replace(version.manifest, resources=Resources(options=options), needs=needs)
    plan = replace(PLAN, parts=make_node_parts(34, jobs=1, nodes=4))
    print_plan(plan, Version.of(manifest, version.source), 0, 0, replace(UNASKED, ceilings=node))
    rows = dict(line.strip().split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["slots"] == shown


HOUR = replace(UNASKED, ceilings=(Ceiling("time", 3600, "MaxTime of the partition short"),))


@pytest.mark.parametrize(
    ("policy", "limits", "message"),
    [
        (Policy(chunk=60, case_seconds=60.0), HOUR, ""),
        (Policy(chunk=61, case_seconds=60.0), UNASKED, ""),
        (Policy(chunk=5000, case_seconds=60.0, slots=100), HOUR, ""),
        (
            Policy(chunk=61, case_seconds=60.0),
            HOUR,
            "take 01:01:00 with case_seconds 60, and a task has 01:00:00",
        ),
        (
            Policy(chunk=7000, case_seconds=60.0, slots=100),
            HOUR,
            "70 cases, one after the other, take 01:10:00",
        ),
        (
            Policy(chunk=2, case_seconds=60.0, resources=Resources(options={"time": "1"})),
            HOUR,
            "2 cases, one after the other, take 00:02:00 with case_seconds 60",
        ),
        (Policy(case_seconds=3601.0), HOUR, "a case takes 01:00:01 with case_seconds 3601"),
    ],
)
def test_a_task_that_cannot_end_in_its_time_is_refused(
    policy: Policy, limits: Limits, message: str
) -> None:
    nothing = Outlook.of_nothing(version_of(grid(x=arange(0, 9000, 1))))
    if not message:
        assert decide(nothing, policy, limits)
        return
    with pytest.raises(InputError, match=message):
        decide(nothing, policy, limits)
    assert decide(nothing, replace(policy, advances=True), limits) == ()  # nothing is owed


def test_auto_fills_what_the_partition_gives() -> None:
    assert sized(9000, 60.0, limits=HOUR) == 30
    assert sized(9000, 1200.0, limits=HOUR) == sized(9000, 1200.0, "01:00:00") == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (119.0, "119 s"), (1800.0, "30 min"), (7200.0, "2 h"), (9000.0, "2.5 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
