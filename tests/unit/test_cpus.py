"""CPUs of a case: its own, where that can be known to disturb nobody."""

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
    set_to: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, mask: set_to.append(set(mask)))
    environment = {} if on_node is None else {"SLURM_CPUS_ON_NODE": on_node}
    cpus.limit_affinity(environment, cpus_per_case)
    assert set_to == ([] if bound is None else [bound])


def test_affinity_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    cpus.limit_affinity({"SLURM_CPUS_ON_NODE": "4"}, 1)
