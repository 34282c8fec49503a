"""CPU affinity of a case: set only where the task owns its CPUs."""

from __future__ import annotations

import os

import pytest

from hpcsweep.worker import cpus


def test_thread_variables_are_the_cases_cpus_unless_the_user_says_otherwise() -> None:
    environment = {"MKL_NUM_THREADS": "9", "OMP_NUM_THREADS": ""}
    cpus.limit_threads(environment, 4)
    assert environment["OPENBLAS_NUM_THREADS"] == "4"
    assert environment["SRUN_CPUS_PER_TASK"] == "4"
    assert environment["MKL_NUM_THREADS"] == "9"
    assert environment["OMP_NUM_THREADS"] == ""
    assert set(cpus.THREAD_VARIABLES) <= environment.keys()


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"SLURM_JOB_NUM_NODES": "1"}, "1"),
        ({"SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4"}, None),
        ({"SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS_PER_GPU": "2"}, None),
        ({"SLURM_JOB_NUM_NODES": "2"}, None),
        ({}, None),
    ],
)
def test_srun_starts_one_process_unless_the_job_names_a_count(
    job: dict[str, str], expected: str | None
) -> None:
    assert cpus.thread_variables(job, 2).get("SLURM_NPROCS") == expected


@pytest.mark.parametrize(
    ("allowed", "on_node", "cpus_per_case", "bound"),
    [
        ({0, 1, 2, 3}, "4", 2, {0, 1}),  # all of them are the job's
        ({4, 5, 6, 7}, "4", 1, {4}),
        ({0, 1, 2, 3}, "2", 2, None),  # others run here, too: they would crowd onto the same
        ({0, 1}, "2", 2, None),  # nothing to gain
        ({0, 1}, "2", 4, None),
        ({0, 1, 2, 3}, "", 2, None),  # no Slurm
        ({0, 1, 2, 3}, "4(x2)", 2, None),
        ({0, 1, 2, 3}, None, 2, None),
    ],
)
def test_affinity(
    monkeypatch: pytest.MonkeyPatch,
    allowed: set[int],
    on_node: str | None,
    cpus_per_case: int,
    bound: set[int] | None,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    environment = {} if on_node is None else {"SLURM_CPUS_ON_NODE": on_node}
    assert cpus.cpu_sets(environment, 1, cpus_per_case) == [bound]


@pytest.mark.parametrize(
    ("count", "cpus_per_case", "bound"),
    [
        (4, 1, [{2}, {3}, {6}, {7}]),
        (2, 2, [{2, 3}, {6, 7}]),
        (1, 3, [{2, 3, 6}]),
        (3, 1, [{2}, {3}, {6}]),
        (3, 2, [None, None, None]),  # more than there are
        (1, 4, [None]),
    ],
)
def test_slots_have_cpus_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    cpus_per_case: int,
    bound: list[set[int] | None],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 6, 7})
    assert cpus.cpu_sets({"SLURM_CPUS_ON_NODE": "4"}, count, cpus_per_case) == bound


def test_affinity_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpus.cpu_sets({"SLURM_CPUS_ON_NODE": "4"}, 2, 1) == [None, None]
