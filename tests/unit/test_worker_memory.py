"""What a worker knows of the memory of its cases: what they used, and what they were killed for."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hpcsweep.sources import grid, manual
from hpcsweep.worker import cgroup
from hpcsweep.worker.cgroup import MemoryCgroup, requested_bytes
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

MB = 1 << 20
# What a case does with memory beyond the limit, or without.
USES = """\
import os, signal, subprocess, sys

def run(what):
    if what == "all": held = bytearray(300 << 20)
    if what == "some": held = bytearray(60 << 20)
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    hog = [sys.executable, "-c", "held = bytearray(300 << 20)"]
    if what == "program": subprocess.run(hog, check=True)
    if what == "ignored": subprocess.run(hog)
    if what == "raise": raise ValueError("no good")
    return {"y": 1}
"""


@pytest.mark.parametrize(
    ("prefix", "reason"), [(("prlimit", f"--as={512 * MB}"), "out_of_memory"), ((), "error")]
)
def test_an_allocation_that_a_limit_refuses(
    tmp_path: Path, prefix: tuple[str, ...], reason: str
) -> None:
    """Without a limit, no machine has what it asks for."""
    python = "def run(size):\n    held = bytearray(size)\n"
    made = MadeSweep(tmp_path, grid(size=[1 << 60, 1]), python=python)
    made.plan()
    made.run(prefix=prefix)
    ends = made.ends()
    assert (ends[0]["reason"], ends[0]["error"]["type"]) == (reason, "MemoryError")
    assert ends[1]["status"] == "complete"


# --- a real one (version 1) ----------------------------------------------------------------------


@pytest.fixture
def limited() -> Iterator[Path]:
    """A memory cgroup as Slurm makes it for job 100, limited to 100 MB."""
    own = [
        line.split(":", 2)[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if "memory" in line.split(":")[1].split(",")
    ]
    if not own:
        pytest.skip("the memory cgroups are not of version 1")
    top = Path("/sys/fs/cgroup/memory") / own[0].lstrip("/") / f"hpcsweep-{secrets.token_hex(4)}"
    place = top / "job_100" / "task_0"
    try:
        place.mkdir(parents=True)
        (top / "memory.limit_in_bytes").write_text(str(100 * MB))
    except OSError as error:
        with contextlib.suppress(OSError):
            top.rmdir()
        pytest.skip(f"no memory cgroup can be made: {error.strerror}")
    yield place
    for directory in (place, place.parent, top):
        wait_until(partial(_removed, directory), 30, f"{directory} is gone")


def _removed(directory: Path) -> bool:
    with contextlib.suppress(OSError):  # its last processes are not yet gone
        directory.rmdir()
    return not directory.exists()


def inside(place: Path) -> list[str]:
    """What starts a program in a cgroup."""
    return ["sh", "-c", f'echo $$ > {place}/cgroup.procs; exec "$@"', "sh"]


def test_kills_for_memory_are_told_from_others(limited: Path, tmp_path: Path) -> None:
    whats = ["kill", "all", "kill", "program", "raise", "ignored", "kill"]
    made = MadeSweep(
        tmp_path,
        manual([{"what": what, "n": n} for n, what in enumerate(whats)]),
        python=USES.replace("run(what)", "run(what, n)"),
    )
    made.plan()
    made.run(prefix=inside(limited))
    ends = made.ends()
    assert [(what, ends[n]["status"], ends[n].get("reason")) for n, what in enumerate(whats)] == [
        ("kill", "failed", "signal"),
        ("all", "failed", "out_of_memory"),
        ("kill", "failed", "signal"),
        ("program", "failed", "out_of_memory"),
        ("raise", "failed", "error"),
        ("ignored", "complete", None),  # as the target decides
        ("kill", "failed", "signal"),
    ]
    assert "its memory limit was reached" in ends[1]["error"]["message"]
    error = ends[3]["error"]
    assert error["type"] == "CalledProcessError"
    assert "its memory limit was reached" in error["message"]
    assert "subprocess.run" in error["traceback"]


def test_a_command_whose_program_was_killed_for_memory(limited: Path, tmp_path: Path) -> None:
    """The shell around it survives and exits with 137."""
    (tmp_path / "hog.sh").write_text(
        'python3 -c "held = bytearray($1 << 20)"\nstatus=$?\nexit $status\n'
    )
    argv = ["sh", str(tmp_path / "hog.sh"), "{mb}"]
    made = MadeSweep(tmp_path, grid(mb=[1, 300]), argv=argv)
    made.plan()
    made.run(prefix=inside(limited))
    assert {n: end.get("reason") for n, end in made.ends().items()} == {0: None, 1: "out_of_memory"}


def test_the_peak_is_of_the_case_that_raised_it(limited: Path, tmp_path: Path) -> None:
    source = manual([{"what": "some"}, {"what": "none"}, {"what": "all"}])
    made = MadeSweep(tmp_path, source, python=USES)
    made.plan()
    made.run(prefix=inside(limited))
    some, none, hog = (made.ends()[n] for n in range(3))
    assert 60 * MB < some["cgroup_peak_bytes"] < 100 * MB
    assert "cgroup_peak_bytes" not in none
    assert some["cgroup_peak_bytes"] < hog["cgroup_peak_bytes"] < 110 * MB


def test_the_cgroup_of_another_job_says_nothing_of_a_case(limited: Path, tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, manual([{"what": "some"}, {"what": "program"}]), python=USES)
    made.plan()
    made.run(prefix=inside(limited), SLURM_JOB_ID="200")
    some, program = (made.ends()[n] for n in range(2))
    assert "cgroup_peak_bytes" not in some
    assert program["reason"] == "error"


# --- without a counter ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"SLURM_MEM_PER_NODE": "50"}, "out_of_memory"),
        ({"SLURM_MEM_PER_CPU": "25", "SLURM_CPUS_ON_NODE": "2"}, "out_of_memory"),
        ({"SLURM_MEM_PER_NODE": "4000"}, "signal"),
        ({"SLURM_MEM_PER_NODE": "0"}, "signal"),  # all that the node has
        ({}, "signal"),
    ],
)
def test_who_used_all_that_was_asked_for_and_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], reason: str
) -> None:
    body = USES.replace("def run(what):", "def run(what):\n    held = bytearray(60 << 20)")
    made = MadeSweep(tmp_path, manual([{"what": "kill"}, {"what": "raise"}]), python=body)
    made.plan()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made.run()
    assert [made.ends()[n]["reason"] for n in range(2)] == [reason, "error"]


@pytest.mark.parametrize(
    ("environment", "requested"),
    [
        ({}, None),
        ({"SLURM_MEM_PER_NODE": "500"}, 500 * MB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "4"}, 400 * MB),
        ({"SLURM_MEM_PER_CPU": "100"}, None),
        ({"SLURM_MEM_PER_NODE": "x"}, None),
    ],
)
def test_the_memory_that_was_asked_for(environment: dict[str, str], requested: int | None) -> None:
    assert requested_bytes(environment) == requested


# --- where it is found ---------------------------------------------------------------------------

SLURM_1 = "slurm/uid_0/job_7/step_batch/task_0"
SLURM_2 = "system.slice/slurmstepd.scope/job_7/step_batch/user/task_0"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroup, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path / "mount")
    return tmp_path


def make(place: Path, lines: list[str], directory: str, **files: str) -> None:
    (place / "proc").write_text("".join(f"{line}\n" for line in lines))
    (place / "mount" / directory).mkdir(parents=True)
    for name, text in files.items():
        (place / "mount" / directory / name.replace("_", ".", 1)).write_text(text)


def test_version_2(place: Path) -> None:
    events = "low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 0\n"
    make(place, [f"0::/{SLURM_2}"], SLURM_2, memory_events=events, memory_peak="5000\n")
    found = MemoryCgroup.find("7")
    assert (found.is_own, found.oom_kills(), found.new_peak(), found.new_peak()) == (
        True,
        3,
        5000,
        None,
    )
    (place / "mount" / SLURM_2 / "memory.peak").write_text("6000\n")
    assert found.new_peak() == 6000


def test_version_2_without_a_peak(place: Path) -> None:
    """Linux before 5.19."""
    make(place, [f"0::/{SLURM_2}"], SLURM_2, memory_events="oom_kill 3\n")
    found = MemoryCgroup.find("7")
    assert (found.oom_kills(), found.new_peak()) == (3, None)


def test_version_1_beside_an_empty_version_2(place: Path) -> None:
    lines = ["4:cpu,memory:/" + SLURM_1, "1:name=systemd:/", "0::/"]
    events = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
    directory = f"memory/{SLURM_1}"
    make(place, lines, directory, memory_oom_control=events, memory_max_usage_in_bytes="7000\n")
    found = MemoryCgroup.find("7")
    assert (found.is_own, found.oom_kills(), found.new_peak()) == (True, 1, 7000)


def test_version_1_in_a_container(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = f"35 31 0:32 /docker/f00 {place}/mount/memory rw,nosuid - cgroup cgroup rw,memory\n"
    (place / "mountinfo").write_text(f"31 1 0:2 / /proc rw - proc proc rw\n{mount}")
    monkeypatch.setattr(cgroup, "_MOUNTS", place / "mountinfo")
    directory = f"memory/{SLURM_1}"
    make(place, [f"4:memory:/docker/f00/{SLURM_1}"], directory, memory_oom_control="oom_kill 2\n")
    found = MemoryCgroup.find("7")
    assert (found.is_own, found.oom_kills()) == (True, 2)


@pytest.mark.parametrize("job_id", ["", "70", "1"])
def test_one_of_others(place: Path, job_id: str) -> None:
    make(place, [f"0::/{SLURM_2}"], SLURM_2, memory_events="oom_kill 3\n", memory_peak="5000\n")
    found = MemoryCgroup.find(job_id)
    assert (found.is_own, found.oom_kills(), found.new_peak()) == (False, 3, None)


def test_none(place: Path) -> None:
    nothing = (False, 0, None)
    found = MemoryCgroup.find("7")
    assert (found.is_own, found.oom_kills(), found.new_peak()) == nothing
    make(place, ["0::/"], "elsewhere")
    found = MemoryCgroup.find("7")
    assert (found.is_own, found.oom_kills(), found.new_peak()) == nothing
