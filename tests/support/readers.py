"""Every reader of bytes that may be damaged, with a whole file of each kind to damage.

A reader ends, with a value or with an HpcsweepError: nothing else, no loop, no memory without end.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpcsweep import Experiment, ExperimentReader
from hpcsweep.claims import OWNER, take
from hpcsweep.directory import SweepDirectory
from hpcsweep.emulator import config as emulated
from hpcsweep.emulator import names as emulator_names
from hpcsweep.errors import HpcsweepError
from hpcsweep.ingest import fresh_store
from hpcsweep.journal import read
from hpcsweep.life import this_process
from hpcsweep.logbook.checkpoint import Checkpoint
from hpcsweep.logbook.libraries import save_arrays
from hpcsweep.logbook.reader import LogReader
from hpcsweep.manifest import frozen
from hpcsweep.rundirs import Account, check_files
from hpcsweep.sources import manual
from hpcsweep.status import status
from hpcsweep.unpack import unpack
from tests.support.scripted import SETTINGS
from tests.support.sweeps import MadeSweep

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
    "tried": 1.0, "asked": 2.0, "last": "squeue", "alive": {"100_0": "RUNNING"},
    "absent": {"100_0": 3.0}, "scans": {"100_0": [1.0, 2.0]}, "over": {}, "hints": {}, "words": {},
    "names": {"h": "c"}, "problem": None,
}  # fmt: skip


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

    def open_and_look() -> None:
        sweep = SweepDirectory.open(path)
        with fresh_store(sweep, rebuild=True):
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
        "sweep.json": Reader(path / "sweep.json", open_and_look, is_json=True),
        "plan.json": Reader(part.with_name("plan.json"), open_and_look, is_json=True),
        "intent": Reader(part.with_suffix(".intent.json"), open_and_look, is_json=True),
        "job": Reader(part.with_suffix(".job.json"), open_and_look, is_json=True),
        "cluster.json": Reader(path / "cluster.json", open_and_look, is_json=True),
        "manifest": Reader(manifest / "sweep.json", cases, is_json=True),
        "cases.jsonl": Reader(manifest / "cases.jsonl", cases),
        "cases.idx": Reader(manifest / "cases.idx", cases),
        "journal": Reader(journal, open_and_look),
        "journal alone": Reader(
            journal, lambda: [list(read(journal, skim=s)) for s in (False, True)]
        ),
    }


def _look_at_all(path: Path) -> None:
    """What an ExperimentReader has to say."""
    reader = ExperimentReader(path)
    for look in (lambda: reader.params, lambda: reader.meta, lambda: reader.metrics,
                 lambda: str(reader), lambda: list(reader.index())):  # fmt: skip
        with contextlib.suppress(HpcsweepError):
            look()
    for run in reader:
        look_at(run)


def look_at(run: LogReader) -> None:
    """What a LogReader has to say."""
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
        _look_at_all(made.path)
        account = Account()
        with fresh_store(made.directory) as store:
            for row in store.rows():
                with account.noting(row):
                    check_files(made.directory, row)

    run = made.run_dir(1)
    np.save(run / "data.npy", np.arange(3.0))
    (run / "data").mkdir()
    (run / "data.npy").rename(run / "data" / "a.npy")
    np.savez(run / "data" / "b.npz", k=np.arange(4))
    ExperimentReader(made.path).index()
    found = {
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
    found["steps"] = Reader(steps, commands)
    return found


def _packed_files(made: MadeSweep) -> dict[str, Reader]:
    def commands() -> None:
        _look_at_all(made.path)
        for path in unpack(made.directory, Account()):
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

    def look() -> None:
        _look_at_all(root / "e")

    return {"index marks": Reader(marks, look)}


def _other_files(root: Path) -> dict[str, Reader]:
    found = {}
    for name, data in {
        "checkpoint": json.dumps({"step": 3, "x": [1.5, None]}).encode(),
        "arrays": _arrays(),
    }.items():
        checkpoint = Checkpoint(root / name)
        (root / name).mkdir()
        (root / name / "state.checkpoint").write_bytes(data)
        found[name] = Reader(
            root / name / "state.checkpoint", checkpoint.load, name == "checkpoint"
        )
    owner = root / "claims" / "a" / "0123456789abcdef" / OWNER
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps(this_process()))
    found["claim"] = Reader(
        owner, lambda: take(root / "claims", "a", lambda _: False), is_json=True
    )
    config = root / "emulated" / emulator_names.CONFIG
    config.parent.mkdir()
    config.write_text(json.dumps(emulated.EmulatorConfig().to_json()))
    found["emulator"] = Reader(config, lambda: emulated.load(config.parent), is_json=True)
    return found


def _arrays() -> bytes:
    stream = io.BytesIO()
    save_arrays(stream, {"x": np.arange(5.0)}, compressed=False, more={"rest.json": b'{"step": 1}'})
    return stream.getvalue()


def make_readers(root: Path) -> dict[str, Reader]:
    """All of them, below a directory. The files are as they should be."""
    found: dict[str, Reader] = {}
    for runs, collect in (("all", _run_files), ("packed", _packed_files)):
        (root / runs).mkdir()
        made = MadeSweep(root / runs, manual([{"x": 1}, {"x": 2}, {"x": 3.5}]), python=PYTHON)
        made.plan(runs=runs)
        made.handed_in()
        made.run()
        if runs == "all":
            (made.path / "cluster.json").write_text(json.dumps(HEARD))
            found |= _sweep_files(made)
        found |= collect(made)
    return found | _logbook_files(root) | _other_files(root)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Fail what takes too much processor time or memory, however busy the machine is."""

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
    """Put these bytes in the file's place and read it; what was said of them."""
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
