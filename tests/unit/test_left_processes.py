"""What a case leaves running ends with it: daemons, fork bombs, what ignores every signal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from hpcsweep.worker import processes
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# A daemon leaves the process group, the session and its parent, and ignores every signal.
DAEMON = """\
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent

def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

def daemon(name, seconds=600):
    path = HERE / f"{name}.pid"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            path.with_suffix(".new").write_text(str(os.getpid()))
            path.with_suffix(".new").rename(path)
            time.sleep(seconds)
        os._exit(0)
    until(path.exists)
    return int(path.read_text())
"""
THREAD = """\
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""


def metrics(made: MadeSweep, **how: Any) -> list[dict[str, Any]]:
    """What each case of a sweep that runs in one task told."""
    made.plan()
    made.run(**how)
    ends = made.ends()
    assert {end["status"] for end in ends.values()} == {"complete"}, ends
    return [ends[index].get("metrics", {}) for index in sorted(ends)]


@pytest.mark.parametrize(("before", "isolation"), [("", "case"), ("", "task"), (THREAD, "case")])
def test_a_daemon_ends_with_its_case(tmp_path: Path, before: str, isolation: str) -> None:
    python = """
ours = daemon("import")

def run(x):
    alive = [path.name for path in HERE.glob("*.pid") if is_alive(int(path.read_text()))]
    pid = daemon(str(x))
    return {"alive": alive, "itself": is_alive(pid)}
"""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=before + DAEMON + python, isolation=isolation)
    # What the import started is there for all cases of the slot.
    assert metrics(made) == [{"alive": ["import.pid"], "itself": True}] * 2
    wait_until(lambda: not alive(tmp_path), 30, "no daemon is left")


def alive(root: Path) -> list[int]:
    """The processes of which the files tell, as far as they are alive."""
    pids = [int(path.read_text()) for path in root.glob("*.pid")]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def command(root: Path, code: str, **fields: Any) -> MadeSweep:
    """Two cases of a command whose program may start daemons."""
    (root / "program.py").write_text(f"{DAEMON}\nx = int(sys.argv[1])\n{code}")
    argv = [sys.executable, "program.py", "{x}"]
    return MadeSweep(root, grid(x=[1, 2]), argv=argv, **fields)


def test_a_daemon_of_a_command_ends_with_its_case(tmp_path: Path) -> None:
    code = "assert x == 1 or not is_alive(int((HERE / '1.pid').read_text()))\ndaemon(x)\n"
    metrics(command(tmp_path, code))
    assert not alive(tmp_path)


def test_a_case_ends_no_daemon_of_another_slot(tmp_path: Path) -> None:
    code = """
pid = daemon(x)
if x == 2:
    until((HERE / "1.pid").exists)
    until(lambda: not is_alive(int((HERE / "1.pid").read_text())))
    assert is_alive(pid)
else:
    until((HERE / "2.pid").exists)
"""
    made = command(tmp_path, code, needs=CaseNeeds(slots=2))
    metrics(made, SLURM_CPUS_ON_NODE="2")
    assert not alive(tmp_path)


def test_a_daemon_without_its_environment_ends_with_the_task(tmp_path: Path) -> None:
    code = """
if os.environ.pop("HPCSWEEP_CASE_ID", ""):
    os.environ.clear()
    os.spawnv(os.P_WAIT, sys.executable, [sys.executable, *sys.argv])
else:
    daemon(x)
"""
    metrics(command(tmp_path, code))
    assert not alive(tmp_path)


def test_processes_that_replace_themselves_end_with_the_case(tmp_path: Path) -> None:
    """Each leaves its session, forks its successor and exits, so its id is never known for long."""
    python = """
def count():
    return (HERE / "chain").stat().st_size

def run(x):
    if x == 2:
        before = count()
        time.sleep(0.1)
        return {"grew": count() - before}
    if os.fork() == 0:
        chain = os.open(HERE / "chain", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if os.fork(): os._exit(0)
            os.setsid()
            os.write(chain, b".")
        os._exit(0)
    until((HERE / "chain").exists)
    until(lambda: count() > 20)
"""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=DAEMON + python)
    assert metrics(made)[1] == {"grew": 0}


def test_a_fork_bomb_ends_with_its_case(tmp_path: Path) -> None:
    """Of 63 processes every second one leaves the group; none ends by itself, or by TERM."""
    python = """
def run(x):
    if x == 2: return {}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for depth in range(6):
        if os.fork() == 0 and depth % 2: os.setsid()
    (HERE / f"{os.getpid()}.pid").write_text(str(os.getpid()))
    time.sleep(600)
"""
    source = grid(x=[1, 2])
    made = MadeSweep(tmp_path, source, python=DAEMON + python, case_timeout_s=3.0)
    made.plan()
    made.run()
    bomb, other = (made.ends()[index] for index in range(2))
    assert (bomb["reason"], other["status"]) == ("case_timeout", "complete")
    assert not alive(tmp_path)


def test_daemons_that_ended_are_no_zombies_while_their_case_runs(tmp_path: Path) -> None:
    python = """
def run(x):
    pids = [daemon(str(number), seconds=0) for number in range(5)]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
"""
    made = MadeSweep(tmp_path, grid(x=[1]), python=DAEMON + python)
    metrics(made)


def test_the_time_of_what_is_left_counts(tmp_path: Path) -> None:
    python = """
def run(x):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while time.process_time() < 0.3: pass
            (HERE / "done").touch()
            time.sleep(600)
        os._exit(0)
    until((HERE / "done").exists)
"""
    made = MadeSweep(tmp_path, grid(x=[1]), python=DAEMON + python)
    metrics(made)
    assert made.ends()[0]["cpu_seconds"] >= 0.25


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_that_may_not_be_killed_does_not_hold_up_its_case() -> None:
    """Like a setuid program: this user may neither end it nor wait for its end."""
    code = """\
import os, resource, signal, time
from hpcsweep.worker import processes
from hpcsweep.worker.inherited import adopt_orphans
adopt_orphans()
if (foreign := os.fork()) == 0:
    time.sleep(600)
if (own := os.fork()) == 0:
    os.setuid(65534)
    time.sleep(600)
while f"Uid:\t65534" not in open(f"/proc/{own}/status").read(): pass
os.setresuid(65534, 65534, 0)
processes.kill_children()
left = processes.children(os.getpid())
os.seteuid(0)
os.kill(foreign, signal.SIGKILL)
print(left == [foreign])
"""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout) == ("", "True\n")


# --- /proc ---------------------------------------------------------------------------------------


def test_a_list_of_processes_that_was_cut_ends_with_a_whole_one() -> None:
    assert processes.complete("12 345 6789 ") == [12, 345, 6789]
    assert processes.complete("12 345 67") == [12, 345]
    assert processes.complete("") == processes.complete("67") == []


def test_what_processes_use() -> None:
    code = """\
import os, sys, time
held = b"x" * (30 << 20)
while time.process_time() < 0.2: pass
if len(sys.argv) > 1: os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", sys.argv[1]])
print("ready", flush=True)
time.sleep(600)
"""
    argv = [sys.executable, "-c", code, code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2
        found = processes.usage([process.pid])
        (child,) = processes.children(process.pid)
        alone = processes.usage([child])
        assert set(processes.tree([os.getpid()])) >= {process.pid, child}
        os.killpg(process.pid, 9)
    assert found.cpu_seconds >= 0.3 > alone.cpu_seconds >= 0.1
    assert found.memory_bytes >= 60 << 20
    assert processes.usage([process.pid]) == (0.0, 0)


def test_a_case_names_the_thread_that_it_waits_for(tmp_path: Path) -> None:
    python = """
import threading
from pathlib import Path
from hpcsweep.worker import inherited

inherited.THREADS_S = 0.05

def until_named():
    for _ in range(1000):
        if "waits for" in Path("/proc/self/fd/2").read_text():
            return
        threading.Event().wait(0.01)

def run(x):
    threading.Thread(target=until_named, name="reader").start()
    threading.Thread(target=threading.Event().wait, daemon=True, name="other").start()
    return {"y": x}
"""
    made = MadeSweep(tmp_path, grid(x=[1]), python=python)
    assert metrics(made) == [{"y": 1}]
    said = (made.run_dir(0) / "stderr.txt").read_text()
    assert "the function has returned" in said
    assert said.count("'reader'") == 1
    assert "'other'" not in said
