"""A task of several slots: the share of each, and the effect of one on the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.allocation import TaskResources
from hpcsweep.emulator.programs import srun
from hpcsweep.emulator.programs.srun_tasks import StepRequest
from hpcsweep.errors import InputError
from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.manifest.frozen import Cache, FrozenManifest, Target
from hpcsweep.records import CaseNeeds, Resources
from hpcsweep.sources import grid, manual, randint, random
from hpcsweep.worker import gpus
from hpcsweep.worker.cgroup import MemoryCgroup
from hpcsweep.worker.process import Share
from hpcsweep.worker.shares import given, shares_of, step_variables
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

GIB = 1 << 30
# Each of `together` cases waits until all of them have begun, so they run in as many slots.
TOGETHER = """\
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent

def run(x, together, what="return"):
    begun = HERE / "begun"
    with begun.open("a") as stream:
        stream.write(f"{x}\\n")
    deadline = time.monotonic() + 60
    while len(set(begun.read_text().split())) < together:
        assert time.monotonic() < deadline, "it is alone"
        time.sleep(0.01)
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if what == "kill child": os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)
    if what == "raise": raise ValueError("no good")
    if what == "hang": time.sleep(600)
    print("said", x)
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    seen = {name: os.environ.get(name) for name in names}
    return seen | {"parent": os.getppid(), "cpus": sorted(os.sched_getaffinity(0))}
"""


def together(count: int, *whats: str, extra: int = 0) -> list[dict[str, Any]]:
    """Cases of which the first `count` begin at once; the others follow."""
    wanted = [*whats, *["return"] * (count + extra - len(whats))]
    return [{"x": x, "together": count, "what": what} for x, what in enumerate(wanted)]


# --- what a task has -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "options", "expected"),
    [
        (
            {"SLURM_CPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "4"},
            {},
            TaskResources(cpus=4, gpus=0),
        ),
        # With hyperthreads Slurm gives whole cores.
        (
            {"SLURM_CPUS_ON_NODE": "2", "SLURM_CPUS_PER_TASK": "1"},
            {},
            TaskResources(cpus=1, gpus=0),
        ),
        ({"SLURM_CPUS_ON_NODE": "6"}, {}, TaskResources(cpus=6, gpus=0)),
        (
            {"SLURM_CPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "2", "SLURM_NTASKS": "2"},
            {},
            TaskResources(cpus=4, gpus=0),
        ),
        (
            {"SLURM_CPUS_ON_NODE": "64", "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "4096"},
            {"exclusive": ""},
            TaskResources(cpus=64, mem_bytes=4 * GIB, gpus=0),
        ),
        (
            {"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "1024", "SLURM_GPUS_ON_NODE": "2"},
            {},
            TaskResources(cpus=4, mem_bytes=4 * GIB, gpus=2),
        ),
        (
            {"SLURM_CPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b,GPU-c"},
            {},
            TaskResources(cpus=4, gpus=3),
        ),
        ({"SLURM_CPUS_ON_NODE": "(null)"}, {}, TaskResources(cpus=3, gpus=0)),
        ({}, {}, TaskResources(cpus=3, gpus=0)),
    ],
    ids=str,
)
def test_what_a_task_has(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: dict[str, str],
    expected: TaskResources,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3})
    assert given(environment, options) == expected


def test_a_whole_node_has_the_memory_of_the_machine() -> None:
    found = given({"SLURM_CPUS_ON_NODE": "2"}, {"exclusive": ""}).mem_bytes
    assert found == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# --- what each slot has --------------------------------------------------------------------------


def manifest(needs: CaseNeeds, **options: str) -> FrozenManifest:
    return FrozenManifest(
        name="s",
        root="/",
        target=Target(argv=("true",)),
        source={},
        needs=needs,
        resources=Resources(options=options),
    )


def test_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    environment = {
        "SLURM_CPUS_ON_NODE": "4",
        "SLURM_MEM_PER_NODE": "2048",
        "CUDA_VISIBLE_DEVICES": "3,1",
        "MKL_NUM_THREADS": "9",
    }
    first, second = shares_of(manifest(CaseNeeds(gpus=1, slots=2)), environment)
    assert [first.cpus, second.cpus] == [frozenset({0, 1}), frozenset({2, 3})]
    assert first.mem_bytes == second.mem_bytes == GIB
    devices = [one.environment["CUDA_VISIBLE_DEVICES"] for one in (first, second)]
    assert devices == ["3", "1"]
    assert first.environment["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in first.environment


MEM = {"SLURM_MEM_PER_CPU": "1"}


@pytest.mark.parametrize(
    ("environment", "gpus", "expected"),
    [
        ({}, 0, {}),
        ({"SLURM_MEM_PER_NODE": "2000"}, 0, {"SLURM_MEM_PER_NODE": "500"}),
        # The memory is the site's default: no step takes it from others.
        ({"SLURM_CPUS_ON_NODE": "8"}, 0, {"SLURM_MEM_PER_NODE": "0"}),
        # Two amounts of memory exclude each other (22.05).
        ({"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "8"}, 0, {}),
        # An amount for each GPU beside one for each process (23.11).
        (
            {"SLURM_MEM_PER_GPU": "100", "SLURM_GPUS": "4", "SLURM_CPUS_PER_GPU": "2"},
            1,
            {"SLURM_GPUS": "1", "SLURM_CPUS_PER_GPU": None},
        ),
        ({**MEM, "SLURM_CPUS_PER_GPU": "2"}, 0, {"SLURM_CPUS_PER_GPU": None}),
        (MEM, 1, {"SLURM_GRES": "gpu:1"}),
        # A type here and none there (22.05), or SLURM_GRES beside it (26.05).
        ({**MEM, "SLURM_GPUS_PER_NODE": "a100:4"}, 1, {"SLURM_GPUS_PER_NODE": "1"}),
        ({**MEM, "SLURM_GPUS_PER_TASK": "a100"}, 1, {"SLURM_GPUS_PER_TASK": "1"}),
        ({**MEM, "SLURM_GPUS": "a100:2,h100:2"}, 2, {"SLURM_GPUS": "2"}),
        (
            {**MEM, "SLURM_GPUS_PER_SOCKET": "a100:4"},
            1,
            {"SLURM_GPUS_PER_SOCKET": None, "SLURM_GRES": "gpu:1"},
        ),
        (
            {**MEM, "SLURM_GPUS": "4", "SLURM_NTASKS_PER_GPU": "1", "SLURM_NTASKS": "4"},
            1,
            {
                "SLURM_GPUS": "1",
                "SLURM_NTASKS_PER_GPU": None,
                "SLURM_NTASKS": "1",
                "SLURM_NPROCS": "1",
            },
        ),
        # As 23.11 and 24.11 write it.
        (
            {**MEM, "SLURM_TRES_PER_TASK": "cpu:8,gres/gpu:4"},
            1,
            {"SLURM_TRES_PER_TASK": "cpu:2,gres/gpu:1"},
        ),
        (
            {
                **MEM,
                "SLURM_TRES_PER_TASK": "gres/gpu:a100=2,cpu=8,gres/gpu:h100=2,gres/gpumem=4",
                "SLURM_TRES_BIND": "gres/gpu:per_task:4",
            },
            1,
            {
                "SLURM_TRES_PER_TASK": "cpu=2,gres/gpumem=4,gres/gpu=1",
                "SLURM_TRES_BIND": "gres/gpu:per_task:1",
            },
        ),
    ],
)
def test_an_srun_of_each_case_takes_the_share_of_its_slot(
    environment: dict[str, str], gpus: int, expected: dict[str, str | None]
) -> None:
    job = {"SLURM_JOB_ID": "7", **environment} if environment else {}
    usual = {"SLURM_CPUS_PER_TASK": "2"} if environment else {}
    assert step_variables(job, 4, 2, gpus) == {**usual, **expected}


def test_a_step_of_a_slot_leaves_the_emulated_srun_the_others_cpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SRUN_CPUS_PER_TASK", raising=False)
    step = StepRequest(command=["true"], layer={"ntasks": "1"}, line="srun -n1 true")
    assert not srun._question(7, step)["exact"]  # noqa: SLF001
    monkeypatch.setenv("SRUN_CPUS_PER_TASK", "2")
    question = srun._question(7, step)  # noqa: SLF001
    assert (question["exact"], question["cpus_per_task"]) == (True, 2)


def test_a_share_removes_variables_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_GPU", "2")
    monkeypatch.setenv("SLURM_GPUS", "4")
    Share(environment={"SLURM_CPUS_PER_GPU": None, "SLURM_GPUS": "1"}).apply()
    assert "SLURM_CPUS_PER_GPU" not in os.environ
    assert os.environ["SLURM_GPUS"] == "1"


def test_the_only_slot_has_all_of_the_task() -> None:
    environment = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "2000"}
    (one,) = shares_of(manifest(CaseNeeds(cpus=8)), environment)
    two, _ = shares_of(manifest(CaseNeeds(cpus=4)), environment)
    assert "SLURM_MEM_PER_NODE" not in one.environment
    assert two.environment["SLURM_MEM_PER_NODE"] == "1000"


@pytest.mark.parametrize(
    ("needs", "environment", "count"),
    [
        (CaseNeeds(slots=4), {"SLURM_CPUS_ON_NODE": "4"}, 4),
        # More resources than were asked for, as after a retry with more memory: no more slots.
        (
            CaseNeeds(slots=2, mem_bytes=GIB),
            {"SLURM_CPUS_ON_NODE": "9", "SLURM_MEM_PER_NODE": "9000"},
            2,
        ),
        # Only the task knows: a whole node.
        (CaseNeeds(cpus=2), {"SLURM_CPUS_ON_NODE": "9"}, 4),
        (CaseNeeds(cpus=8), {"SLURM_CPUS_ON_NODE": "4"}, 1),
    ],
)
def test_the_count_of_slots(needs: CaseNeeds, environment: dict[str, str], count: int) -> None:
    assert len(shares_of(manifest(needs), environment)) == count


def test_a_task_with_less_than_was_asked_for_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    environment = {"SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "4000"}
    assert len(shares_of(manifest(CaseNeeds(slots=8)), environment)) == 2
    assert capfd.readouterr().err.startswith(
        "hpcsweep: 2 cases at a time, not 8: this task has 2 CPUs, 0 GPUs, 4000 MiB of memory, and"
    )


def test_a_task_without_the_gpus_of_a_case() -> None:
    with pytest.raises(InputError, match="a case needs 2 of the task's GPUs, and it has 1"):
        shares_of(manifest(CaseNeeds(gpus=2)), {"CUDA_VISIBLE_DEVICES": "0"})


CUDA, ROCR, HIP = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("environment", "each", "driver", "slots"),
    [
        ({CUDA: "0,1"}, 1, "", [{CUDA: "0"}, {CUDA: "1"}]),
        ({CUDA: "4,5,6,7"}, 2, "", [{CUDA: "4,5"}, {CUDA: "6,7"}]),
        ({CUDA: "GPU-8a,GPU-9b"}, 1, "", [{CUDA: "GPU-8a"}, {CUDA: "GPU-9b"}]),
        ({CUDA: "MIG-GPU-8a/1/0,MIG-c"}, 1, "", [{CUDA: "MIG-GPU-8a/1/0"}, {CUDA: "MIG-c"}]),
        # Slurm without AutoDetect sets the variables of all makers.
        ({CUDA: "2,3", ROCR: "2,3"}, 1, "", [{CUDA: "2", ROCR: "2"}, {CUDA: "3", ROCR: "3"}]),
        # On AMD, HIP counts what ROCR leaves; HIP reads CUDA's variable as well.
        (
            {CUDA: "2,3", ROCR: "2,3", HIP: "0,1"},
            1,
            "kfd",
            [{CUDA: "0", ROCR: "2", HIP: "0"}, {CUDA: "0", ROCR: "3", HIP: "0"}],
        ),
        ({HIP: "0,1"}, 1, "kfd", [{HIP: "0"}, {HIP: "1"}]),
        # The site sets none: by their number.
        ({"SLURM_GPUS_ON_NODE": "2"}, 1, "", [{CUDA: "0"}, {CUDA: "1"}]),
        # A variable of the user's own that names other devices stays.
        ({CUDA: "0,1", HIP: "0"}, 1, "", [{CUDA: "0"}, {CUDA: "1"}]),
    ],
)
def test_gpus_of_a_slot(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    each: int,
    driver: str,
    slots: list[dict[str, str]],
) -> None:
    monkeypatch.setattr(gpus, "_AMD", Path("/proc/self/cmdline" if driver else "/proc/none"))
    assert [gpus.variables(environment, n, each) for n in range(len(slots))] == slots


@pytest.mark.parametrize("value", ["", "NoDevFiles", "-1"])
def test_a_task_without_gpus(value: str) -> None:
    assert gpus.count({CUDA: value}) == 0


# --- a task of several slots ---------------------------------------------------------------------


def test_each_slot_has_cpus_threads_and_gpus_of_its_own(tmp_path: Path) -> None:
    count = len(os.sched_getaffinity(0))
    made = MadeSweep(
        tmp_path, manual(together(count)), python=TOGETHER, needs=CaseNeeds(cpus=1, gpus=1)
    )
    made.plan()
    made.run(
        SLURM_CPUS_ON_NODE=str(count),
        CUDA_VISIBLE_DEVICES=",".join(f"GPU-{n}" for n in range(count)),
    )
    seen = [end["metrics"] for end in made.ends().values()]
    assert len({metrics["parent"] for metrics in seen}) == count
    assert {metrics["OMP_NUM_THREADS"] for metrics in seen} == {"1"}
    assert {m["CUDA_VISIBLE_DEVICES"] for m in seen} == {f"GPU-{n}" for n in range(count)}
    cpus = [metrics["cpus"] for metrics in seen]
    if count > 1:  # one CPU is not worth a binding
        assert sorted(cpus) == [[cpu] for cpu in sorted(os.sched_getaffinity(0))]


def test_a_task_that_lacks_the_gpus_fails_its_cases(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]), needs=CaseNeeds(gpus=1))
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="2", CUDA_VISIBLE_DEVICES="", code=InputError.exit_code)
    ends = made.ends().values()
    assert [end["reason"] for end in ends] == ["setup", "setup"]
    assert "a case needs 1 of the task's GPUs, and it has 0" in next(iter(ends))["error"]["message"]


@pytest.mark.parametrize(("runs", "last"), [("all", "raise"), ("packed", "hang")])
def test_a_crash_in_one_slot_costs_that_case_alone(tmp_path: Path, runs: str, last: str) -> None:
    whats = ["kill", "kill child", "raise", last]
    made = MadeSweep(
        tmp_path,
        manual(together(6, *whats, extra=6)),
        python=TOGETHER,
        needs=CaseNeeds(slots=6),
        case_timeout_s=8.0,
    )
    made.plan(runs=runs)
    made.run(SLURM_CPUS_ON_NODE="6")
    ends = made.ends()
    reasons = {index: end.get("reason") for index, end in ends.items()}
    ended = "case_timeout" if last == "hang" else "error"
    assert [reasons[n] for n in range(4)] == ["signal", "signal", "error", ended]
    assert [reasons[n] for n in range(4, 12)] == [None] * 8
    printed = {
        reader.meta["index"]: reader.read("stdout.txt")
        for reader in ExperimentReader(made.path)
        if reader.meta["status"] == "complete"
    }
    assert printed == {n: f"said {n}\n".encode() for n in range(4, 12)}


def test_equal_cases_never_run_at_once(tmp_path: Path) -> None:
    """Each slot takes a case of the same params; the first one settles all of them."""
    body = """\
import time
from pathlib import Path

def run(x):
    with Path(__file__).with_name("runs").open("a") as stream:
        stream.write(f"{x}\\n")
    time.sleep(0.1)
    return {"y": x}
"""
    source = random({"x": randint(0, 1)}, 9, seed=1)
    made = MadeSweep(tmp_path, source, python=body, needs=CaseNeeds(slots=3))
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="3")
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1"]
    assert len(made.ends()) == 2
    same = {record["index"] for record in made.records("same")}
    assert same | made.ends().keys() == set(range(9))
    assert same.isdisjoint(made.ends())


def test_equal_cases_that_fail_run_one_after_the_other(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path,
        random({"x": randint(0, 0)}, 3, seed=1),
        python="def run(x):\n    raise ValueError(x)\n",
        needs=CaseNeeds(slots=3),
    )
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="3")
    records = made.records("begin", "end")[:-1]
    assert [record["kind"] for record in records] == ["begin", "end"] * 3
    assert {end["reason"] for end in made.ends().values()} == {"error"}


def test_slots_share_the_results_of_a_cache(tmp_path: Path) -> None:
    """Replicates have one result: a slot makes it, and the others wait for it."""
    body = """\
import time
from pathlib import Path

def run(params):
    with Path(__file__).with_name("runs").open("a") as stream:
        stream.write(f"{params['x']}\\n")
    time.sleep(0.1)
    Path(params["result_file"]).write_text("made")
"""
    made = MadeSweep(
        tmp_path,
        grid(x=[1, 2]),
        python=body,
        needs=CaseNeeds(slots=4),
        replicates=3,
        cache=Cache(results_dir="results", file_suffix=".txt", use_cache=True),
    )
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="4")
    assert {end["status"] for end in made.ends().values()} == {"complete"}
    assert len(made.ends()) == 6
    assert sorted((tmp_path / "runs").read_text().split()) == ["1", "2"]


def test_a_stop_signal_ends_all_slots(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path,
        manual(together(4, "hang", "hang", "hang", "hang", extra=4)),
        python=TOGETHER,
        needs=CaseNeeds(slots=4),
    )
    made.plan()
    with made.start(SLURM_CPUS_ON_NODE="4") as process:
        begun = tmp_path / "begun"
        wait_until(lambda: begun.exists() and len(begun.read_text().split()) == 4, 60, "four cases")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 75
    assert {end["reason"] for end in made.ends().values()} == {"terminated"}
    assert sorted(made.ends()) == [0, 1, 2, 3]


def test_a_task_opens_no_more_slots_than_it_has_cases(tmp_path: Path) -> None:
    body = "import os\n\ndef run(x):\n    return {'parent': os.getppid()}\n"
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=body, needs=CaseNeeds(slots=64))
    made.plan(runs="packed")
    made.run(SLURM_CPUS_ON_NODE="64")
    assert len(made.ends()) == 2


@pytest.mark.parametrize(("limits", "slots"), [("-Sn 90", 12), ("-n 130", 4)])
def test_slots_need_open_files(tmp_path: Path, limits: str, slots: int) -> None:
    """The worker raises its soft limit, or opens the slots that the hard limit allows."""
    made = MadeSweep(tmp_path, manual(together(slots)), python=TOGETHER, needs=CaseNeeds(slots=12))
    made.plan(runs="packed")
    limited = ["sh", "-c", f'ulimit {limits}; exec "$@"', "sh"]
    said = made.run(prefix=limited, SLURM_CPUS_ON_NODE="12").stderr
    ends = made.ends().values()
    assert {end["status"] for end in ends} == {"complete"}
    assert len({end["metrics"]["parent"] for end in ends}) == slots
    assert ("may open 130 files" in said) == (slots < 12)


# --- memory --------------------------------------------------------------------------------------


def test_a_kill_for_memory_belongs_to_one_case(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 2\n")
    memory = MemoryCgroup(events=events, is_own=True)
    assert not memory.claim_kill(2, is_killed=True)
    events.write_text("oom_kill 3\n")
    assert memory.claim_kill(2, is_killed=True)
    # An error in another slot at the same time had another reason.
    assert not memory.claim_kill(2, is_killed=False)
    events.write_text("oom_kill 4\n")
    assert memory.claim_kill(2, is_killed=False)
    # A process of another job.
    assert not MemoryCgroup(events=events).claim_kill(0, is_killed=False)
