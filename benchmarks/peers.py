"""What one case costs on one core: hpcsweep, and what people use in its place, in the same run.

    python benchmarks/peers.py [PYTHON]

PYTHON has the peers: `pip install submitit hyperqueue notata` (default: the one that runs this).
GNU parallel is looked for on PATH. A peer that is missing is left out. Everything runs on one CPU,
in turns; a rate is that of many cases less the time of one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import measuring

ROUNDS = 3
SUBMITIT = """\
import sys, submitit
def run(x):
    return {"y": x}
executor = submitit.LocalExecutor("logs")
executor.update_parameters(timeout_min=60)
jobs = executor.map_array(run, range(int(sys.argv[1])))
assert len([job.result() for job in jobs]) == int(sys.argv[1])
"""
HYPERQUEUE = """\
import os, sys
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=1))
    client, job = cluster.client(), Job(default_workdir=os.getcwd())
    for _ in range(int(sys.argv[1])):
        job.program(sys.argv[2:])
    client.wait_for_jobs([client.submit(job)])
"""
NOTATA = """\
import sys
from notata import Logbook
def run(x):
    return {"y": x}
for x in range(int(sys.argv[1])):
    with Logbook(str(x), params={"x": x}) as log:
        log.json("metrics", run(x))
"""
# Interpreter and program of a case that is a program of its own.
PROGRAM = ("-I", "-c", "pass")


class Peer(NamedTuple):
    """One way to run cases."""

    name: str
    # What is left of a case, what it shares with the case before it, what a second start does.
    record: str
    isolation: str
    restart: str
    # Enough for seconds.
    cases: int
    # Runs that many cases to their end.
    run: Callable[[int], None]


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    python = arguments[0] if arguments else sys.executable
    measuring.use_one_cpu()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        peers = [*_ours(root, measuring.installed(root / "venv")), *_others(root, python)]
        print(f"{measuring.machine()}, one of them used; median of {ROUNDS} interleaved rounds")
        actions = [
            partial(_seconds, peer, count) for peer in peers for count in (1, 1 + peer.cases)
        ]
        medians = measuring.medians(ROUNDS, *actions)
    costs = [
        (many - one) / peer.cases
        for peer, one, many in zip(peers, medians[::2], medians[1::2], strict=True)
    ]
    rows = [
        (peer.name, f"{1 / cost:.0f}", f"{cost / costs[0]:.1f}", *peer[1:4])
        for peer, cost in zip(peers, costs, strict=True)
    ]
    columns = ("", "cases/s", "cost of a case", "its record", "its process", "a second start")
    measuring.show("Cases that do nothing, on one core", columns, rows)


def _seconds(peer: Peer, count: int) -> float:
    return measuring.seconds(partial(peer.run, count))


# --- hpcsweep ------------------------------------------------------------------------------------


def _ours(root: Path, python: str) -> list[Peer]:
    kept = {"packed": "params, metrics, metadata, output in one tar; journal", "all": "a directory"}
    peers = []
    for isolation, process in (("task", "shared by a slot, state restored"), ("case", "a fork")):
        for runs, record in kept.items():
            name = f"hpcsweep, `isolation: {isolation}`, `runs: {runs}`"
            run = partial(_task, root, python, f"isolation: {isolation}\n", runs)
            count = 1000 if isolation == "task" else 300
            peers.append(Peer(name, record, process, "runs what is missing", count, run))
    command = "command: ['true', '{x}']\n"
    run = partial(_task, root, python, command, "packed")
    name = "hpcsweep, a command, `true`"
    return [*peers, Peer(name, kept["packed"], "a program", "runs what is missing", 100, run)]


def _task(root: Path, python: str, more: str, runs: str, cases: int) -> None:
    directory = Path(tempfile.mkdtemp(dir=root)) / "project"
    is_command = more.startswith("command")
    sweep = measuring.prepared(
        directory, cases, runs=runs, more=more, target=None if is_command else measuring.NOTHING
    )
    argv = measuring.worker_argv(sweep, python)
    environment = measuring.job_environment()
    subprocess.run(argv, env=environment, capture_output=True, check=True)


# --- the others ----------------------------------------------------------------------------------


def _others(root: Path, python: str) -> list[Peer]:
    peers = []
    if _has(python, "notata"):
        run = partial(_script, root, python, NOTATA, ())
        record = "a directory"
        peers.append(Peer("notata, a loop by hand", record, "shared", "begins anew", 300, run))
    if _has(python, "submitit"):
        run = partial(_script, root, python, SUBMITIT, ())
        record = "pickles of call and result, output"
        name = "submitit, `map_array`, local executor"
        peers.append(Peer(name, record, "an interpreter", "begins anew", 8, run))
    programs = {"`true`": ["true"], "`python -I -c pass`": [python, *PROGRAM]}
    for name, argv in programs.items():
        count = 200 if argv == ["true"] else 40
        if shutil.which("parallel"):
            record, restart = "a line of the job log, output", "`--resume` by position"
            run = partial(_parallel, root, argv)
            peers.append(Peer(f"GNU parallel, {name}", record, "a program", restart, count, run))
        if _has(python, "hyperqueue"):
            run = partial(_script, root, python, HYPERQUEUE, argv)
            record, restart = "state in its server, output", "with the server's journal"
            # Its client asks once a second.
            peers.append(Peer(f"HyperQueue, {name}", record, "a program", restart, 5 * count, run))
    return peers


def _has(python: str, module: str) -> bool:
    argv = [python, "-c", f"import {module}"]
    return not subprocess.run(argv, check=False, capture_output=True).returncode


def _script(root: Path, python: str, code: str, more: Sequence[str], cases: int) -> None:
    argv = [python, "-c", code, str(cases), *more]
    if "submitit" in code:  # it names the function by its file
        (root / "by_submitit.py").write_text(code)
        argv[1:3] = [str(root / "by_submitit.py")]
    _run(argv, Path(tempfile.mkdtemp(dir=root)))


def _parallel(root: Path, argv: Sequence[str], cases: int) -> None:
    numbers = "\n".join(map(str, range(cases)))
    options = ["-j1", "--will-cite", "--joblog", "log", "--results", "results", "-n0"]
    _run(["parallel", *options, *argv], Path(tempfile.mkdtemp(dir=root)), numbers)


def _run(argv: Sequence[str], directory: Path, text: str = "") -> None:
    environment = measuring.environment()
    subprocess.run(
        argv, cwd=directory, env=environment, input=text, text=True, capture_output=True, check=True
    )


if __name__ == "__main__":
    main(sys.argv[1:])
