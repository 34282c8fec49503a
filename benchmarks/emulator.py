"""The emulated Slurm: starts of its programs, a large array, trivial tasks, and idleness.

    python benchmarks/emulator.py [TASKS]

Programs are measured in seconds of the processor, their own and the scheduler's: the machine has
other work. Tasks run on 16 slots of the emulator and of a real Slurm, where one can be started.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import measuring

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.emulated import Emulated
from tests.support.slurm_cluster import PrivateSlurm, why_not
from tests.support.wait import wait_until

ROUNDS = 15
TASKS = 1000
ELEMENTS = 100_000
IDLE_S = 20.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PROGRAMS = (
    ("squeue",),
    ("sbatch", "-H", "--wrap", "true"),
    ("sacct", "-X"),
    ("scancel", "99999999"),
    ("scontrol", "ping"),
    ("sinfo",),
    ("sacctmgr", "show", "qos"),
)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    tasks = int(arguments[0]) if arguments else TASKS
    print(measuring.machine())
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        knobs = {"max_array_size": ELEMENTS + 1, "max_job_count": 10 * ELEMENTS}
        with Emulated(Path(temporary) / "e", **knobs) as cluster:
            env = cluster.env()
            _starts(env)
            _idle(cluster.scheduler)
            _trivial(cluster, tasks)
            _large_array(env, cluster.scheduler)


def _spent(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, text.rpartition(")")[2].split()[11:13])) / CLOCK_TICKS


def _cost(argv: list[str], env: dict[str, str]) -> float:
    """Seconds of the processor of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=env, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _program(argv: tuple[str, ...], env: dict[str, str]) -> list[str]:
    return [str(Path(env["PATH"].split(os.pathsep)[0]) / argv[0]), *argv[1:]]


def _starts(env: dict[str, str]) -> None:
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    commands = [bare, *(_program(argv, env) for argv in PROGRAMS)]
    actions = [partial(_cost, argv, env) for argv in commands]
    floor, *found = measuring.medians(ROUNDS, *actions)
    rows = [
        (
            f"`{' '.join(argv)}`",
            f"{1e3 * value:.0f} ms",
            f"{1e3 * floor:.0f} ms",
            f"{1e3 * (value - floor):.0f} ms",
            "80 ms",
        )
        for argv, value in zip(PROGRAMS, found, strict=True)
    ]
    columns = ("program", "processor", "`python -I -S -c pass`", "over it", "budget over it")
    measuring.show("A program, from its start to its end", columns, rows)


def _large_array(env: dict[str, str], scheduler: int) -> None:
    submit = _program(("sbatch", "-H", f"--array=0-{ELEMENTS - 1}", "--wrap", "true"), env)

    def whole(argv: list[str]) -> float:
        before = _spent(scheduler)
        return _cost(argv, env) + _spent(scheduler) - before

    sbatch, squeue = measuring.medians(
        5, partial(whole, submit), partial(whole, _program(("squeue",), env))
    )
    rows = [
        (f"`sbatch --array=0-{ELEMENTS - 1}`", f"{sbatch:.2f} s", "0.3 s"),
        ("`squeue`, collapsed", f"{squeue:.2f} s", "0.2 s"),
    ]
    columns = ("what", "processor", "budget")
    measuring.show(f"An array of {ELEMENTS:,} elements, up to five of them", columns, rows)


def _idle(scheduler: int) -> None:
    before = _spent(scheduler)
    time.sleep(IDLE_S)
    share = (_spent(scheduler) - before) / IDLE_S
    rows = [("scheduler without jobs", f"{share:.2%} of a core", "1 %")]
    measuring.show(f"Idle for {IDLE_S:g} s", ("what", "processor", "budget"), rows)


def _trivial(cluster: Emulated, tasks: int) -> None:
    rows = [("emulated", _until_done(cluster.env(), tasks))]
    reason = why_not()
    if reason:
        print(reason)
    else:
        with PrivateSlurm() as slurm:
            rows.append(("real Slurm 22.05.8", _until_done(slurm.env(), tasks)))
    floor = rows[-1][1]
    shown = [
        (kind, f"{found:.1f} s", f"{tasks / found:.0f}", f"{found / floor:.2f}")
        for kind, found in rows
    ]
    columns = ("cluster", "time", "tasks a second", "ratio to the real one")
    measuring.show(f"{tasks} tasks of `true` on 16 slots", columns, shown)


def _until_done(env: dict[str, str], tasks: int) -> float:
    """Seconds from sbatch until the queue has none of them."""

    def ask(*argv: str) -> str:
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout

    begun = time.perf_counter()
    script = ("--parsable", "-o", "/dev/null", "--wrap", "true")
    job = ask("/usr/bin/env", "sbatch", f"--array=0-{tasks - 1}", *script).strip()
    wait_until(
        lambda: not ask("/usr/bin/env", "squeue", "-h", "-j", job) or None,
        1200,
        "the end",
        poll_s=1.0,
    )
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(sys.argv[1:])
