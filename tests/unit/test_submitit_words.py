"""Options of sbatch, translated into parameters of submitit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcsweep.cluster.jobs import Queued
from hpcsweep.cluster.slurm import text
from hpcsweep.cluster.submitit import localjobs
from hpcsweep.cluster.submitit.client import logs
from hpcsweep.cluster.submitit.executor import Order, make_executor, states
from hpcsweep.errors import Damaged, InputError
from hpcsweep.sweepdir.parts import chunk_size_for


@pytest.fixture
def srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which submitit finds a Slurm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("srun")
def test_slurm_gets_every_option_as_it_is(tmp_path: Path) -> None:
    options = {
        "time": "1-00:30:30",
        "mem": "500M",
        "cpus-per-task": "2",
        "exclusive": "",
        "gres": "gpu:a100:2",
        "nodes": "1",
    }
    order = Order(options=options, throttle=3, chunks=9, job_name="n.1.0")
    found = make_executor("slurm", tmp_path, order).parameters
    own = found.pop("additional_parameters")
    assert found == {
        "job_name": "n.1.0",
        "time": 24 * 60 + 31,
        "array_parallelism": 3,
        "signal_delay_s": 120,
        "srun_args": ["--cpus-per-task=2"],
        "setup": ["unset SLURM_JWT"],
    }
    del options["time"]
    assert own == options | {"exclusive": True, "requeue": True}


@pytest.mark.usefixtures("srun")
def test_without_a_throttle_all_may_run(tmp_path: Path) -> None:
    order = Order(options={"time": "5"}, throttle=0, chunks=999)
    assert make_executor("slurm", tmp_path, order).parameters["array_parallelism"] == 999


@pytest.mark.usefixtures("srun")
@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, "slurm: time"),
        ({"time": "UNLIMITED"}, "slurm: time"),
        ({"time": "5", "ntasks": "2"}, "slurm: ntasks"),
        ({"time": "5", "nodes": "1-2"}, "slurm: nodes"),
        ({"time": "5", "ntasks-per-node": "4"}, "slurm: ntasks-per-node"),
    ],
)
def test_ambiguous_values_are_refused(tmp_path: Path, options: dict[str, str], where: str) -> None:
    with pytest.raises(InputError) as caught:
        make_executor("slurm", tmp_path, Order(options=options, throttle=0))
    assert caught.value.where == where
    assert caught.value.next_step


def test_this_host_limits_nothing(tmp_path: Path) -> None:
    options = {
        "time": "1",
        "mem": "1G",
        "partition": "a",
        "cpus-per-task": "2",
        "gpus-per-node": "1",
    }
    found = make_executor("local", tmp_path, Order(options=options, throttle=2)).parameters
    assert found.pop("timeout_min") > 365 * 24 * 60
    assert found == {"name": "check", "cpus_per_task": 2, "gpus_per_node": 1}


@pytest.mark.parametrize(
    ("throttle", "cpus_per_task", "count"),
    [(0, "1", 4), (0, "3", 1), (0, "8", 1), (2, "1", 2), (9, "1", 4)],
)
def test_slots_are_the_cpus_or_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, throttle: int, cpus_per_task: str, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert len(set(localjobs.slots(tmp_path, throttle, cpus_per_task))) == count


def test_a_cluster_without_a_queue_gets_few_tasks() -> None:
    assert chunk_size_for(1000, None, 64) == 16
    assert chunk_size_for(64, None, 64) == 1
    assert chunk_size_for(1000, 20, 64) == 20
    with pytest.raises(InputError, match="100 array tasks are more than the 64"):
        chunk_size_for(1000, 10, 64)


def test_a_job_that_is_no_array_is_its_only_element() -> None:
    assert text.elements("5|N/A|RUNNING\n6|1|PENDING\n") == {
        ("5", 0): Queued("RUNNING"),
        ("6", 1): Queued("PENDING"),
    }
    rows = text.accounting("5|n|FAILED|2026-01-01T00:00:00\n6_[0-1]|n|PENDING|Unknown\n")
    assert [(row.job_id, row.tasks, row.state, row.is_final) for row in rows] == [
        ("5", (0,), "FAILED", True),
        ("6", (0, 1), "PENDING", False),
    ]


def test_logs_are_those_of_the_elements_job(tmp_path: Path) -> None:
    assert logs(tmp_path, 3, 1) == []
    folder = tmp_path / "3.submitit"
    folder.mkdir()
    (folder / "jobs.json").write_text('["71", "70_2"]')
    assert [path.name for path in logs(tmp_path, 3, 1)] == ["70_2_0_log.out", "70_2_0_log.err"]
    assert logs(tmp_path, 3, 2) == []


@pytest.mark.parametrize("text", ["", "[", "{}", "7", "[7]", '["../x"]'])
def test_damaged_ids_are_named(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "0.submitit"
    folder.mkdir()
    (folder / "jobs.json").write_text(text)
    for look in (
        lambda: logs(tmp_path, 0, 0),
        lambda: states("local", {"0": str(folder)}),
        lambda: states("slurm", {"0": str(folder)}),
    ):
        with pytest.raises(Damaged, match=r"jobs\.json"):
            look()
