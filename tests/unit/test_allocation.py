"""How many cases a task runs at once, by what it asks for and what each case needs."""

from __future__ import annotations

import pytest

from hpcsweep.allocation import TaskResources, cpus_of_case, slots, starts_several, task_resources
from hpcsweep.records import CaseNeeds

GIB = 1 << 30


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, TaskResources()),
        ({"cpus-per-task": "4", "mem": "2G"}, TaskResources(cpus=4, mem_bytes=2 * GIB)),
        ({"cpus-per-task": "4", "mem-per-cpu": "1G"}, TaskResources(cpus=4, mem_bytes=4 * GIB)),
        ({"mem-per-cpu": "1G"}, TaskResources()),
        ({"ntasks": "2", "cpus-per-task": "3"}, TaskResources(cpus=6)),
        ({"mem": "0"}, TaskResources()),  # all of the node's
        ({"gres": "gpu:2"}, TaskResources(gpus=2)),
        ({"gres": "gpu"}, TaskResources(gpus=1)),
        ({"gres": "tmp:10G,gpu:a100:2"}, TaskResources(gpus=2)),
        ({"gres": "gpu:a100:2,gpu:v100:1"}, TaskResources(gpus=3)),
        ({"gres": "tmp:10G"}, TaskResources()),
        ({"gpus": "a100:4"}, TaskResources(gpus=4)),
        ({"gpus": "a100:2,v100:1"}, TaskResources(gpus=3)),
        ({"gpus-per-node": "4"}, TaskResources(gpus=4)),
        ({"gpus-per-node": "a100"}, TaskResources(gpus=1)),
        ({"gpus-per-task": "2", "ntasks": "2"}, TaskResources(gpus=4)),
        ({"tres-per-task": "gres/gpu=3"}, TaskResources(gpus=3)),
        ({"tres-per-task": "cpu=2,gres/gpu:a100=1"}, TaskResources(gpus=1)),
        ({"gpus-per-socket": "2"}, TaskResources()),
        (
            {"gpus": "2", "cpus-per-gpu": "4", "mem-per-gpu": "1G"},
            TaskResources(cpus=8, mem_bytes=2 * GIB, gpus=2),
        ),
        # Of a whole node only the memory is known, if it is asked for.
        ({"exclusive": "", "cpus-per-task": "4", "mem": "1G"}, TaskResources(mem_bytes=GIB)),
        ({"exclusive": "user", "cpus-per-task": "4"}, TaskResources(cpus=4)),
    ],
    ids=str,
)
def test_what_a_task_asks_for(options: dict[str, str], expected: TaskResources) -> None:
    assert task_resources(options) == expected


@pytest.mark.parametrize(
    ("needs", "has", "expected"),
    [
        (CaseNeeds(), TaskResources(), None),
        (CaseNeeds(), TaskResources(cpus=4), 4),
        (CaseNeeds(cpus=2), TaskResources(cpus=5), 2),
        (CaseNeeds(cpus=2), TaskResources(), None),
        (CaseNeeds(cpus=8), TaskResources(cpus=4), 1),
        (CaseNeeds(mem_bytes=3 * GIB), TaskResources(cpus=4, mem_bytes=8 * GIB), 2),
        (CaseNeeds(gpus=1), TaskResources(cpus=16, gpus=4), 4),
        (CaseNeeds(gpus=1), TaskResources(cpus=2, gpus=4), 2),
        (CaseNeeds(slots=3), TaskResources(), 3),
        (CaseNeeds(slots=3), TaskResources(cpus=2), 2),
        (CaseNeeds(slots=3, cpus=1), TaskResources(cpus=16), 3),
    ],
)
def test_the_slots_of_a_task(needs: CaseNeeds, has: TaskResources, expected: int | None) -> None:
    assert slots(needs, has) == expected


@pytest.mark.parametrize(
    ("needs", "cpus", "expected"),
    [
        (CaseNeeds(), 4, 4),
        (CaseNeeds(slots=2), 5, 2),
        (CaseNeeds(slots=4), 2, 1),
        (CaseNeeds(cpus=3, slots=2), 8, 3),
    ],
)
def test_the_cpus_of_a_case(needs: CaseNeeds, cpus: int, expected: int) -> None:
    assert cpus_of_case(needs, cpus) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ntasks": "1", "nodes": "1"}, ""),
        ({"nodes": "2"}, "nodes"),
        ({"nodes": "1-2"}, "nodes"),
        ({"ntasks-per-node": "4"}, "ntasks-per-node"),
    ],
)
def test_options_that_start_several_processes(options: dict[str, str], expected: str) -> None:
    assert starts_several(options) == expected
