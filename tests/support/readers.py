"""Every reader of bytes that may be damaged, with a whole file of each kind to damage.

A reader ends with a value or with an HpcsweepError; it neither loops nor allocates without limit.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from hpcsweep import Experiment, ExperimentReader
from hpcsweep.cache.files.dirty_marks import DirtyMarks
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory
from hpcsweep.claims import OWNER, try_acquire
from hpcsweep.emulator import config as emulated
from hpcsweep.emulator import events
from hpcsweep.emulator import names as emulator_names
from hpcsweep.emulator.daemon import history
from hpcsweep.emulator.events import EventLog
from hpcsweep.emulator.jobs import Job, JobRequest
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.errors import HpcsweepError
from hpcsweep.files import json_bytes
from hpcsweep.journal import read
from hpcsweep.liveness import this_process
from hpcsweep.logbook.checkpoint import Checkpoint
from hpcsweep.logbook.libraries import save_arrays
from hpcsweep.logbook.reader import LogReader
from hpcsweep.manifest import frozen
from hpcsweep.runs.find import DamageReport, check_files
from hpcsweep.runs.unpack import unpack
from hpcsweep.sources import manual
from hpcsweep.state.status import status
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import sweep_lock
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.scripted import SETTINGS
from tests.support.sweeps import MadeSweep

# A local directory in memory: no test waits for a disk.
HERE = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
# Seconds of processor time that a reader may take for a file of a few kilobytes.
WATCHDOG_S = 20.0
# Bytes beyond what the process has that it may ask for.
MEMORY = 1 << 30
PYTHON = """\
def run(x, log):
    log.text("note", str(x))
    log.metric("loss", 0.5, step=1)
    return {"y": x}
"""

# As `cluster.json` remembers it.
HEARD = {
    "tried": 1.0,
    "asked": 2.0,
    "last": "squeue",
    "in_queue": {"RUNNING": {"100": "0"}},
    "absent": {"100_0": 3.0},
    "scans": {"100_0": [1.0, 2.0]},
    "over": {},
    "hints": {},
    "words": {},
    "names": {"h": "c"},
    "problem": None,
}


@dataclass(frozen=True)
class Reader:
    """One file that may be damaged, and what reads it."""

    path: Path
    read: Callable[[], object]
    # Whether the file is one JSON document, whose values may be replaced.
    is_json: bool = False


def _sweep_files(made: MadeSweep) -> dict[str, Reader]:
    path = made.path
    (journal, *_) = sorted(path.glob("journal/0001/0/*.jsonl"))

    def open_sweep() -> None:
        sweep = SweepDirectory.open(path)
        with fresh_index(sweep, rebuild=True):
            pass
        status(sweep, None, SETTINGS)

    def cases() -> None:
        directory = made.directory.manifest_dir(made.manifest.fingerprint)
        source = frozen.open_source(directory, frozen.read(directory))
        with contextlib.suppress(HpcsweepError):
            list(source)
        for index in range(source.n_cases):
            with contextlib.suppress(HpcsweepError):
                source[index]

    manifest = path / "manifests" / made.manifest.fingerprint
    part = path / "submissions" / "0001" / "part-0000"
    return {
        "sweep.json": Reader(path / "sweep.json", open_sweep, is_json=True),
        "plan.json": Reader(part.with_name("plan.json"), open_sweep, is_json=True),
        "intent": Reader(part.with_suffix(".intent.json"), open_sweep, is_json=True),
        "job": Reader(part.with_suffix(".job.json"), open_sweep, is_json=True),
        "cluster.json": Reader(path / "cluster.json", open_sweep, is_json=True),
        "manifest": Reader(manifest / "sweep.json", cases, is_json=True),
        "cases.jsonl": Reader(manifest / "cases.jsonl", cases),
        "cases.idx": Reader(manifest / "cases.idx", cases),
        "journal": Reader(journal, open_sweep),
        "journal alone": Reader(
            journal, lambda: [list(read(journal, skim=s)) for s in (False, True)]
        ),
    }


def _read_experiment(path: Path) -> None:
    """Read everything that an ExperimentReader gives."""
    reader = ExperimentReader(path)
    for read_part in (
        lambda: reader.params,
        lambda: reader.meta,
        lambda: reader.metrics,
        lambda: str(reader),
        lambda: list(reader.index()),
    ):
        with contextlib.suppress(HpcsweepError):
            read_part()
    for run in reader:
        read_run(run)


def read_run(run: LogReader) -> None:
    """Read everything that a LogReader gives."""
    for name in ("meta", "params", "metrics", "status", "provenance", "steps", "arrays"):
        with contextlib.suppress(HpcsweepError):
            getattr(run, name)
    with contextlib.suppress(HpcsweepError):
        str(run)
    with contextlib.suppress(HpcsweepError):
        for name in run.arrays:
            run.load_array(name)
    with contextlib.suppress(HpcsweepError):
        for name in run.files.names():
            run.read(name)


def _run_files(made: MadeSweep) -> dict[str, Reader]:
    def commands() -> None:
        _read_experiment(made.path)
        report = DamageReport()
        with fresh_index(made.directory) as sweep_index:
            for row in sweep_index.rows():
                with report.collecting(row):
                    check_files(made.directory, row)

    run = made.run_dir(1)
    np.save(run / "data.npy", np.arange(3.0))
    (run / "data").mkdir()
    (run / "data.npy").rename(run / "data" / "a.npy")
    np.savez(run / "data" / "b.npz", k=np.arange(4))
    ExperimentReader(made.path).index()
    readers = {
        name: Reader(run / name, commands, is_json=name.endswith(".json"))
        for name in (
            "metadata.json",
            "params.yaml",
            "artifacts/metrics.json",
            "data/a.npy",
            "data/b.npz",
        )
    }
    (steps,) = (one for one in run.rglob("*.csv"))
    readers["steps"] = Reader(steps, commands)
    return readers


def _packed_files(made: MadeSweep) -> dict[str, Reader]:
    def commands() -> None:
        _read_experiment(made.path)
        for path in unpack(made.directory, DamageReport()):
            for one in sorted(path.rglob("*"), reverse=True):
                one.rmdir() if one.is_dir() else one.unlink()
            path.rmdir()

    (pack,) = made.path.glob("runs/packs/*.tar")
    pack.chmod(0o600)
    return {
        "pack": Reader(pack, commands),
        "pack index": Reader(pack.with_suffix(".idx"), commands),
    }


def _logbook_files(root: Path) -> dict[str, Reader]:
    experiment = Experiment("e", root)
    for x in (1, 2):
        log = experiment.add(x=x)
        assert log is not None
        with log:
            log.json("metrics", {"y": x})
    (marks, *_) = (root / "e" / ".index").glob("*.jsonl")

    def read_marks() -> None:
        _read_experiment(root / "e")

    return {"index marks": Reader(marks, read_marks)}


def _other_files(root: Path) -> dict[str, Reader]:
    readers = {}
    for name, data in {
        "checkpoint": json.dumps({"step": 3, "x": [1.5, None]}).encode(),
        "arrays": _arrays(),
    }.items():
        checkpoint = Checkpoint(root / name)
        (root / name).mkdir()
        (root / name / "state.checkpoint").write_bytes(data)
        readers[name] = Reader(
            root / name / "state.checkpoint", checkpoint.load, name == "checkpoint"
        )
    owner = root / "claims" / "a" / "0123456789abcdef" / OWNER
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps(this_process()))
    readers["claim"] = Reader(
        owner, lambda: try_acquire(root / "claims", "a", lambda _: False), is_json=True
    )
    config = root / "emulated" / emulator_names.CONFIG
    config.parent.mkdir()
    config.write_text(json.dumps(emulated.EmulatorConfig().to_json()))
    readers["emulator"] = Reader(config, lambda: emulated.load(config.parent), is_json=True)
    readers |= {"turn": _turn(root), "events": _events(root), "index.csv": _foreign_index(root)}
    return readers


def _shelf_files(root: Path) -> dict[str, Reader]:
    results = ResultDirectory(root / "results", ".npy")
    results.make()
    id_, marks = "0123456789abcdef", DirtyMarks(results)
    made = datetime(2026, 1, 2, tzinfo=UTC)
    written = Entry(
        id=id_,
        params={"x": 1, "y": [0.5]},
        result_file=f"{id_}.npy",
        created_at=made,
        custom_data={"note": "a"},
    )
    results.write(written)
    (entry,) = results.path.glob(".journal/*/*.json")
    mark = results.marks / marks.add(id_, result=f"{id_}.npy", has_owner=True)

    def settle() -> None:
        marks.settle([*marks.read_all()])
        list(results.entries())

    def entries() -> None:
        for entry in results.entries():
            json_bytes(entry.to_json())
        results.entry(id_)

    return {
        "shelf entry": Reader(entry, entries, is_json=True),
        "shelf mark": Reader(mark, settle, is_json=True),
    }


def _turn(root: Path) -> Reader:
    owner = root / "turn" / OWNER
    owner.parent.mkdir()
    owner.write_text(json.dumps(this_process() | {"pid_namespace": "pid:[1]"}))

    def read_owner() -> None:
        with mock.patch.object(sweep_lock, "SILENT_S", 0.0):  # do not wait for a heartbeat
            sweep_lock._is_gone(root, lambda _: None, owner.parent)  # noqa: SLF001  # the claim itself stays

    return Reader(owner, read_owner, is_json=True)


def _events(root: Path) -> Reader:
    """The log of an emulated cluster, with an array of which one element has started."""
    path = root / "emulated" / emulator_names.EVENTS
    who: dict[str, Any] = {"user": "u", "uid": 1, "gid": 1, "partition": "main"}
    request = JobRequest(id=1, token="a" * 16, submitted=1.0, name="s", array="0-3%2", **who)
    jobs = [
        Job(id=1, request=request, waiting=deque(range(4)), submitted=1.0),
        Job(id=2, request=request, task=0, state="RUNNING", places={"n1": 1}, started=2.0),
    ]
    log = EventLog(path)
    log.append(
        {"e": "start", "last_id": 0, "boot_id": "b"}, {"e": "node", "name": "n1", "down": ""}
    )
    log.append({"e": "request", "request": request.to_json()}, *(job.event(2.0) for job in jobs))
    log.append({"e": "step", "id": 2, "restart": 0, "step": 0, "at": 2.5, "state": "RUNNING"})
    log.append({"e": "drop", "id": 1, "tasks": "3"})
    log.close()

    def recall() -> None:
        logged = LoggedState()
        for event in events.read(path):
            logged.apply(event)
        with mock.patch.object(history, "_SMALL", 0), contextlib.chdir(path.parent):
            whole = path.read_bytes() if path.is_file() else b""
            history.compact(logged, emulated.EmulatorConfig())
            if whole:
                path.write_bytes(whole)
        for job in logged.jobs.values():
            _ = job.cpus, job.node_list, job.time_limit, job.elements, job.run_time(3.0)

    return Reader(path, recall)


def _foreign_index(root: Path) -> Reader:
    index = root / "foreign" / "index.csv"
    run = index.parent / "runs" / "log_a"
    run.mkdir(parents=True)
    (run / "metadata.json").write_text('{"status": "complete"}')
    index.write_text('run_id,x,status\na,1,complete\n"b ""2""",2.5,failed\n')
    return Reader(index, lambda: _read_experiment(index.parent))


def _arrays() -> bytes:
    stream = io.BytesIO()
    save_arrays(stream, {"x": np.arange(5.0)}, compressed=False, more={"rest.json": b'{"step": 1}'})
    return stream.getvalue()


def make_readers(root: Path) -> dict[str, Reader]:
    """All of them, below a directory. The files are as they should be."""
    readers: dict[str, Reader] = {}
    for runs, collect in (("all", _run_files), ("packed", _packed_files)):
        (root / runs).mkdir()
        made = MadeSweep(root / runs, manual([{"x": 1}, {"x": 2}, {"x": 3.5}]), python=PYTHON)
        made.plan(runs=runs)
        made.handed_in()
        made.run()
        if runs == "all":
            (made.path / "cluster.json").write_text(json.dumps(HEARD))
            readers |= _sweep_files(made)
        readers |= collect(made)
    return readers | _logbook_files(root) | _other_files(root) | _shelf_files(root)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Fail a reader that takes too much processor time or memory; a busy machine does not count."""

    def bark(_number: int, _frame: types.FrameType | None) -> None:
        raise AssertionError(f"no end after {WATCHDOG_S} s of processor time")

    before = signal.signal(signal.SIGPROF, bark)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, WATCHDOG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)


def try_reader(reader: Reader, data: bytes) -> str:
    """Replace the file by these bytes and read it; returns the messages."""
    whole = reader.path.read_bytes()
    reader.path.write_bytes(data)
    try:
        with watched():
            reader.read()
    except HpcsweepError as error:
        return str(error)
    finally:
        reader.path.write_bytes(whole)
    return ""
