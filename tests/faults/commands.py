"""The subjects of the campaign: each command, the worker, its child, the emulated cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.sources import grid
from tests.faults.campaign import Ended, Found, Subject
from tests.support.clusters import HPCSWEEP, EmulatedCluster, started_emulated
from tests.support.project import CLI_S, Project, essential
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

CASES = 4
# Commands that change something: some of their calls are tried each day.
COMMANDS = (
    *("init", "submit", "status", "collect", "logs", "files", "unpack", "ingest", "doctor"),
    *("run", "retry", "cancel", "emulator start", "emulator stop"),
)
BROKEN = """\
from pathlib import Path

HERE = Path(__file__).parent


def run(x):
    with (HERE / "executions").open("a") as stream:
        stream.write(f"{x}\\n")
    if x % 2 and not (HERE / "mended").exists():
        raise ValueError("not yet")
    return {"square": x * x}
"""
BY_HAND = """\
from pathlib import Path


def run(x, log, checkpoint):
    with (Path(__file__).parent / "executions").open("a") as stream:
        stream.write(f"{x}\\n")
    checkpoint.save({"x": x})
    log.text("note", "some words")
    print("said")
    return {"square": x * x}
"""


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a program."""
    with process:
        out, err = process.communicate(timeout=CLI_S)
    return Ended(process.returncode, out, err)


class OfProject:
    """A command in a project, which is put back from a copy each time."""

    name = ""
    role = "self"

    def __init__(self, cluster: EmulatedCluster, room: Path, *argv: str, **more: Any) -> None:
        self.argv = argv
        self.project = Project(cluster, room / "project", CASES, chunk=2, **more)
        self.program = f"*hpcsweep {argv[0]} *"
        self.roots = (self.project.root,)
        self._copy = room / "copy"
        # The output of the last run.
        self._said = ""
        self.make()
        shutil.copytree(self.project.root, self._copy, symlinks=True)

    def make(self) -> None:
        """Make the state that the command finds."""

    def fresh(self) -> None:
        shutil.rmtree(self.project.root)
        shutil.copytree(self._copy, self.project.root, symlinks=True)

    def act(self, variables: dict[str, str]) -> Ended:
        done = ended(self.project.start(*self.argv, **variables))
        self._said = done.out
        return done

    def again(self) -> Ended:
        return self.act({})

    def left(self) -> object:
        return self._said

    def found(self) -> Found:
        return Found()

    def complete(self) -> list[int]:
        """The squares of the complete cases, by their run directories."""
        paths = self.project.sweep.glob("runs/**/log_*/artifacts/metrics.json")
        return sorted(json.loads(path.read_bytes())["square"] for path in paths)

    def cases(self, most: int, rows: list[dict[str, Any]] | None = None) -> Found:
        """Check the cases of the sweep: all complete, each executed at most `most` times."""
        rows = self.project.collect() if rows is None else rows
        lost = CASES - sum(row["status"] == "complete" for row in rows)
        wrong = [row for row in rows if row.get("square") != row["x"] ** 2]
        times = self.project.executions().values()
        return Found(
            lost=lost + len(wrong),
            twice=sum(max(0, one - most) for one in times),
            wrong=f"rows {rows}" if len(rows) != CASES else "",
        )


class Before(OfProject):
    """A command before the first submission: afterwards a sweep can still be submitted."""

    def found(self) -> Found:
        return Found(wrong="a sweep was made" if self.project.sweep.exists() else "")


class Init(OfProject):
    """`init` into a directory that is there."""

    def make(self) -> None:
        for path in self.project.root.iterdir():
            path.unlink()

    def again(self) -> Ended:
        done = self.act({})
        # Complete files are not overwritten, and the command names them.
        return Ended(0, "", "") if done.code and "already" in done.err else done

    def left(self) -> object:
        # Files that could not be removed may remain beside it.
        return {path.name: path.read_text() for path in self.project.root.glob("[!.]*")}

    def found(self) -> Found:
        done = ended(self.project.start("validate", str(next(self.project.root.rglob("*.yaml")))))
        return Found(wrong="" if done.code == 0 else f"validate: {done}")


class Over(OfProject):
    """A command that reads a sweep that is over."""

    def make(self) -> None:
        self.project.submit("--wait")
        self._rows = self.project.collect()
        for path in self.project.sweep.glob("store.sqlite3*"):
            path.unlink()

    def left(self) -> object:
        match self.argv[0]:
            case "collect":
                table = self.project.root / "table.csv"
                return table.read_text() if table.exists() else None
            case "ingest":
                there = (self.project.sweep / "store.sqlite3").exists()
                return self.project.rows() if there else None
            case "unpack":
                return self.complete()
            case "run":  # without its run directory, which has another name each time
                return self._said.rpartition("run directory:")[0]
            case "doctor":  # what it looked at; of what it found some changes
                return {line.split()[1] for line in self._said.splitlines()}
        return self._said

    def found(self) -> Found:
        rows = self.project.collect()
        # `run` executes its case each time, here.
        found = self.cases(3 if self.argv[0] == "run" else 1, rows)
        before = {row["x"]: row for row in self._rows}
        if essential({row["x"]: row for row in rows}) != essential(before):
            return dataclasses.replace(found, wrong=f"rows {rows}")
        return found


class Submit(OfProject):
    """`submit --wait` of a new sweep."""

    def left(self) -> object:
        return self.complete()

    def found(self) -> Found:
        found = self.cases(1)
        arrays = self.project.cluster.arrays(self.project.job_names)
        return found if len(arrays) == 1 else Found(wrong=f"arrays {arrays}", twice=found.twice)


class Retry(OfProject):
    """`retry --wait` after half of the cases failed."""

    def make(self) -> None:
        self.project.submit("--wait", code=9)
        (self.project.root / "mended").touch()

    def left(self) -> object:
        return self.complete()

    def found(self) -> Found:
        return self.cases(2)


class Waiting(OfProject):
    """`status` of a waiting sweep, which polls the cluster."""

    def fresh(self) -> None:
        super().fresh()
        self.project.submit("--set", "slurm.begin=now+3600")

    def left(self) -> object:
        # The count of cases. If the cluster does not answer, they are unknown.
        told = [line.split() for line in self._said.splitlines()]
        return sum(int(line[1]) for line in told if line[0] in list(Status))


class Cancel(Waiting):
    """`cancel` of waiting tasks."""

    def left(self) -> object:
        arrays = self.project.cluster.arrays(self.project.job_names)
        return {state for job in arrays for state in self.project.cluster.states(job).values()}


class Worker:
    """A task without a cluster: its worker alone, or the children that it forks."""

    name = ""
    program = "*hpcsweep.worker *"

    def __init__(self, room: Path, role: str, runs: str) -> None:
        self.role = role
        self._room, self._runs = room, runs
        self.roots = (room / "task" / "s",)
        self._made: MadeSweep
        self._restart = 0

    def fresh(self) -> None:
        shutil.rmtree(self._room, ignore_errors=True)
        (self._room / "task").mkdir(parents=True)
        self._made = MadeSweep(self._room / "task", grid(x=list(range(CASES))), python=BY_HAND)
        self._made.plan(runs=self._runs)
        self._made.handed_in()
        self._restart = 0

    def act(self, variables: dict[str, str]) -> Ended:
        return ended(self._made.start(0, submission=1, part=0, restart=self._restart, **variables))

    def again(self) -> Ended:
        self._restart += 1
        done = self.act({})
        # A case that failed for good is what `retry` is for: another submission's.
        if done.code == 0 and self._statuses() != {"complete"}:
            failed = [at for at, one in self._best().items() if one["status"] != "complete"]
            self._made.plan(IndexSet.of(failed), runs=self._runs)
            self._made.handed_in(submission=2, job_id="200")
            done = ended(self._made.start(0, submission=2))
        return done

    def _statuses(self) -> set[str]:
        return {one["status"] for one in self._best().values()}

    def _best(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for record in self._made.records("end"):
            if "index" in record and found.get(record["index"], {}).get("status") != "complete":
                found[record["index"]] = record
        return found

    def left(self) -> object:
        return sorted(self._best())

    def found(self) -> Found:
        best = self._best()
        complete = [one for one in best.values() if one["status"] == "complete"]
        begun = len((self._room / "task" / "executions").read_text().split())
        # One case was running at the kill; cases that failed by an error run again.
        failed = sum(one["status"] != "complete" for one in self._made.records("end"))
        twice = max(0, begun - CASES - 1 - failed)
        wrong = []
        for record in complete:
            if record["metrics"] != {"square": record["index"] ** 2}:
                wrong.append(f"{record}")
            path = self._made.path / (record.get("run_dir") or "none") / "metadata.json"
            if self._runs == "all" and json.loads(path.read_bytes())["status"] != "complete":
                wrong.append(f"{path}")
        left = [path.name for path in (self._made.path / "checkpoints").glob("[0-9a-f]*")]
        if left:
            wrong.append(f"checkpoints of complete cases: {left}")
        return Found(lost=CASES - len(complete), twice=twice, wrong="; ".join(wrong))


class Emulator:
    """`emulator start`, `emulator stop`: afterwards jobs run, or none does."""

    name = ""
    role = "self"
    program = "*hpcsweep emulator *"

    def __init__(self, room: Path, verb: str) -> None:
        self._verb = verb
        self._state = room / "state"
        self._directory = self._state / "hpcsweep" / "emulator"
        self.roots = (self._state,)

    def _cli(self, verb: str, variables: dict[str, str]) -> Ended:
        env = os.environ | {"XDG_STATE_HOME": str(self._state)} | variables
        process = subprocess.Popen(
            [HPCSWEEP, "emulator", verb],
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return ended(process)

    def fresh(self) -> None:
        if self._directory.exists():
            self._cli("stop", {})
        shutil.rmtree(self._state, ignore_errors=True)
        self._state.mkdir(parents=True)
        if self._verb == "stop":
            self._cli("start", {})

    def act(self, variables: dict[str, str]) -> Ended:
        return self._cli(self._verb, variables)

    def again(self) -> Ended:
        return self.act({})

    def left(self) -> object:
        if self._verb == "start":
            env = os.environ | {"XDG_STATE_HOME": str(self._state)}
            shell = f'eval "$({HPCSWEEP} emulator env)"; sbatch --parsable -o /dev/null --wrap true'
            done = subprocess.run(
                ["bash", "-c", shell],
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            return done.stdout.strip().isdecimal() or f"sbatch: {done.stderr}"
        from hpcsweep import emulator  # noqa: PLC0415  # after its state is settled

        return wait_until(lambda: not emulator.is_running(self._directory), 60, "its end")

    def found(self) -> Found:
        return Found()


@contextlib.contextmanager
def subjects(room: Path, wanted: Callable[[str], bool]) -> Iterator[list[Subject]]:
    """The subjects whose names are wanted, on an emulated cluster of their own."""
    with started_emulated() as cluster, contextlib.ExitStack() as last:
        makers: dict[str, Any] = {
            "init": lambda at: Init(cluster, at, "init", "."),
            "validate": lambda at: Before(cluster, at, "validate", "manifest.json"),
            "plan": lambda at: Before(cluster, at, "plan", "manifest.json"),
            "submit": lambda at: Submit(cluster, at, "submit", "manifest.json", "--wait"),
            "status": lambda at: Over(cluster, at, "status", "sweep"),
            "status, asking": lambda at: Waiting(cluster, at, "status", "sweep"),
            "collect": lambda at: Over(cluster, at, "collect", "sweep", "--output", "table.csv"),
            "logs": lambda at: Over(cluster, at, "logs", "sweep", "1"),
            "files": lambda at: Over(cluster, at, "files", "sweep", "metadata.json"),
            "unpack": lambda at: Over(cluster, at, "unpack", "sweep", runs="packed"),
            "ingest": lambda at: Over(cluster, at, "ingest", "sweep"),
            "ingest --rebuild": lambda at: Over(cluster, at, "ingest", "sweep", "--rebuild"),
            "doctor": lambda at: Over(cluster, at, "doctor", "sweep"),
            "run": lambda at: Over(cluster, at, "run", "manifest.json", "--index", "1"),
            "retry": lambda at: Retry(cluster, at, "retry", "sweep", "--wait", target=BROKEN),
            "cancel": lambda at: Cancel(cluster, at, "cancel", "sweep"),
            "worker": lambda at: Worker(at, "self", "all"),
            "worker, packed": lambda at: Worker(at, "self", "packed"),
            "child": lambda at: Worker(at, "forked", "all"),
            "child, packed": lambda at: Worker(at, "forked", "packed"),
            "emulator start": lambda at: Emulator(at, "start"),
            "emulator stop": lambda at: Emulator(at, "stop"),
        }
        found = []
        for number, (name, make) in enumerate(makers.items()):
            if wanted(name):
                found.append(make(room / str(number)))
                found[-1].name = name
                if isinstance(found[-1], Emulator):
                    last.callback(found[-1].fresh)
        yield found
