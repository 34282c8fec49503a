"""What a task asks for, against the most that a cluster gives to one."""

from __future__ import annotations

import math

import pytest

from hpcsweep.cluster.ceilings import (
    ALL_CPUS,
    ALL_GPUS,
    ALL_MEMORY,
    CPUS,
    GPUS,
    MEMORY,
    NODES,
    TIME,
    Ceiling,
    Demand,
    demands,
    exceeding,
    loosest,
)

MIB = 2**20


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"partition": "short", "hold": ""}, []),
        # Slurm rounds up to minutes.
        ({"time": "00:30:01"}, [(TIME, 1860, "time")]),
        ({"time": "UNLIMITED"}, [(TIME, math.inf, "time")]),
        ({"time": "0"}, [(TIME, math.inf, "time")]),
        # The scheduler may lower a limit to `time-min`.
        ({"time": "2:00:00", "time-min": "60"}, [(TIME, 3600, "time-min")]),
        ({"cpus-per-task": "1"}, []),
        (
            {"cpus-per-task": "4"},
            [(CPUS, 4, "cpus-per-task"), (ALL_CPUS, 4, "cpus-per-task")],
        ),
        ({"cpus-per-task": "4", "overcommit": ""}, []),
        (
            {"cpus-per-task": "2", "ntasks": "8"},
            [(CPUS, 2, "cpus-per-task"), (ALL_CPUS, 16, "ntasks")],
        ),
        (
            {"nodes": "2-4", "ntasks-per-node": "3"},
            [(NODES, 2, "nodes"), (CPUS, 3, "ntasks-per-node"), (ALL_CPUS, 6, "nodes")],
        ),
        ({"mem": "0"}, []),
        (
            {"mem": "2G", "nodes": "2"},
            [
                (NODES, 2, "nodes"),
                (ALL_CPUS, 2, "nodes"),
                (MEMORY, 2048 * MIB, "mem"),
                (ALL_MEMORY, 4096 * MIB, "mem"),
            ],
        ),
        (
            {"mem-per-cpu": "1G", "cpus-per-task": "2"},
            [
                (CPUS, 2, "cpus-per-task"),
                (ALL_CPUS, 2, "cpus-per-task"),
                (MEMORY, 2048 * MIB, "mem-per-cpu"),
                (ALL_MEMORY, 2048 * MIB, "mem-per-cpu"),
            ],
        ),
        ({"gpus": "3"}, [(ALL_GPUS, 3, "gpus"), (GPUS, 1, "gpus")]),
        ({"gres": "disk:10,gpu"}, [(GPUS, 1, "gres"), (ALL_GPUS, 1, "gres")]),
        (
            {"mem-per-gpu": "1G", "gres": "gpu:2"},
            [
                (MEMORY, 2048 * MIB, "mem-per-gpu"),
                (ALL_MEMORY, 2048 * MIB, "mem-per-gpu"),
                (GPUS, 2, "gres"),
                (ALL_GPUS, 2, "gres"),
            ],
        ),
    ],
)
def test_what_options_ask_for(
    options: dict[str, str], expected: list[tuple[str, float, str]]
) -> None:
    assert [tuple(one)[:3] for one in demands(options)] == expected


def test_gpus_of_a_type() -> None:
    for option, value in (("gres", "gpu:a100:2"), ("gpus-per-node", "a100:2")):
        assert Demand(GPUS, 2, option, "a100") in demands({option: value})
    assert Demand(GPUS, 1, "gpus-per-task", "a100") in demands({"gpus-per-task": "a100"})
    several = demands({"tres-per-task": "cpu=2,gres/gpu:a100=2,gres/gpu:3g.20gb=1"})
    assert Demand(GPUS, 2, "tres-per-task", "a100") in several
    assert Demand(GPUS, 1, "tres-per-task", "3g.20gb") in several


NODE = [
    Ceiling(TIME, 3600, "MaxTime"),
    Ceiling(MEMORY, 4000 * MIB, "a node"),
    Ceiling(CPUS, 4, "a node"),
    Ceiling(GPUS, 2, "a node"),
    Ceiling(GPUS, 2, "a node", "v100"),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"time": "60", "mem": "4000M", "cpus-per-task": "4", "gres": "gpu:V100:2"}, []),
        ({"ntasks": "900"}, []),  # nothing is known of all CPUs
        (
            {"time": "60:01"},
            ["time asks for 01:01:00, and a task can get 01:00:00 (MaxTime)"],
        ),
        (
            {"time": "INFINITE", "mem": "4001"},
            [
                "time asks for no limit, and a task can get 01:00:00 (MaxTime)",
                "mem asks for 4,001 MiB of memory on a node, and a task can get 4,000 MiB (a node)",
            ],
        ),
        (
            {"gres": "gpu:3"},
            ["gres asks for 3 GPUs on a node, and a task can get 2 (a node)"],
        ),
        (
            {"gpus": "a100:1"},
            ["gpus asks for 1 GPUs on a node of type a100, and a task can get 0 (a node)"],
        ),
    ],
)
def test_what_no_task_can_get(options: dict[str, str], expected: list[str]) -> None:
    assert [f"{one.option} {one.what}" for one in exceeding(options, NODE)] == expected


def test_the_lowest_of_several_ceilings_is_named() -> None:
    both = [Ceiling(TIME, 3600, "MaxTime"), Ceiling(TIME, 1800, "MaxWall")]
    (found,) = exceeding({"time": "40"}, both)
    assert "00:30:00 (MaxWall)" in found.what
    assert "Ask for 00:30:00 or less" in found.next_step


def test_of_several_partitions_the_most_counts() -> None:
    short = [Ceiling(TIME, 60, "a"), Ceiling(TIME, 90, "b"), Ceiling(NODES, 1, "c")]
    long = [Ceiling(TIME, 600, "d"), Ceiling(GPUS, 4, "e", "a100")]
    assert loosest([short, long]) == [Ceiling(TIME, 600, "d"), Ceiling(GPUS, 4, "e", "a100")]
    assert loosest([short]) == [Ceiling(TIME, 60, "a"), Ceiling(NODES, 1, "c")]
    assert loosest([]) == []
