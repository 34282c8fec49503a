"""Runs on a disk that is full, and runs that are killed while they write anything at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hpcsweep import Experiment, ExperimentReader, Logbook, LogReader
from hpcsweep.errors import HpcsweepError, SweepError
from hpcsweep.logbook.packs import runs_of
from tests.support.fixtures import Scale
from tests.support.small_disk import mounted

# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture(params=["size=256k", "nr_inodes=24"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """One with little space, and one with few inodes."""
    with mounted(tmp_path / "disk", request.param) as path:
        yield path


def fill(disk: Path) -> list[Path]:
    """Take all space, then all inodes. Gives the files that have them."""
    made: list[Path] = []
    with (disk / "ballast").open("wb", buffering=0) as stream:
        made.append(disk / "ballast")
        try:
            for _ in range(1024):
                stream.write(bytes(512))
        except OSError:
            pass
    try:
        for number in range(100):
            made.append(disk / f"inode{number}")
            made[-1].touch()
    except OSError:
        pass
    return made


def test_a_full_disk_leaves_what_there_was(disk: Path) -> None:
    log = Logbook("a", disk, {"a": 1})
    writes: dict[str, Any] = {
        "artifacts/j.json": lambda: log.json("j", list(range(3000))),
        "artifacts/t.txt": lambda: log.text("t", "x" * 9000),
        "artifacts/b": lambda: log.bytes("b", bytes(9000)),
        "artifacts/p.pkl": lambda: log.pickle("p", list(range(9000))),
        "data/x.npy": lambda: log.array("x", np.zeros(3000)),
        "data/z.npz": lambda: log.arrays("z", compressed=False, x=np.zeros(3000)),
        "data/f.parquet": lambda: log.dataframe("f", pd.DataFrame({"x": np.arange(3000.0)})),
        "plots/g.png": lambda: log.plot("g", Figure()),
        "params.yaml": lambda: log.params(more=["x" * 9000]),
        "metadata.json": lambda: log.meta(more=["x" * 9000]),
    }
    log.array("x", [1])
    log.json("j", [1])
    before = {name: log.path / name for name in writes if (log.path / name).exists()}
    content = {name: path.read_bytes() for name, path in before.items()}
    assert set(content) == {"artifacts/j.json", "data/x.npy", "params.yaml", "metadata.json"}
    ballast = fill(disk)
    for name, write in writes.items():
        with pytest.raises(SweepError, match="No space left"):
            write()
        found = (log.path / name).read_bytes() if (log.path / name).exists() else None
        assert found == content.get(name), name
    with pytest.raises(SweepError, match="No space left"):
        log.checkpoint.save({"x": np.zeros(9000)})
    assert not [path for path in log.path.rglob(".*") if path.is_file()]
    with pytest.raises(HpcsweepError, match="No space left"):
        Logbook("b", disk, {"x": ["x" * 9000]})
    with pytest.raises(ZeroDivisionError) as raised, log:  # what the program itself met is told
        raise ZeroDivisionError
    assert "No space left" in "".join(getattr(raised.value, "__notes__", []))
    for path in ballast:
        path.unlink(missing_ok=True)
    log.json("j", [2])
    log.mark_complete()
    run = LogReader(log.path)
    assert (run.status, run.load_json("j"), run.params) == ("complete", [2], {"a": 1})


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(SweepError, match="cannot be written"):
        log.meta(x=1)
    with pytest.raises(SweepError, match="cannot be written"), log:
        pass


# --- kill -9 -------------------------------------------------------------------------------------

WRITER = """
import sys
import numpy as np
import pandas as pd
from hpcsweep import Experiment, Logbook
from hpcsweep.logbook.packs import PackWriter
from hpcsweep.logbook.tar import member
from pathlib import Path
base = Path(sys.argv[1])
exp = Experiment("e", base)
log = Logbook("a", base)
pack = PackWriter(base / "0.a.tar")
number = 0
while True:
    number += 1
    with exp.add(x=number) as run:
        run.json("metrics", {"x": number, f"m{number % 5}": "y" * 2000})
    exp.refresh()
    log.metric("loss", number, step=number)
    log.info("line " * 50)
    log.bytes("raw", b"%d\\n" % number * 5000)
    log.pickle("object", [number] * 5000)
    log.arrays("both", a=np.full(2000, number), b=np.full(2000, number))
    log.dataframe("frame", pd.DataFrame({"a": np.full(2000, number)}))
    with log.checkpoint.writing("own.txt") as path:
        path.write_text(f"{number}\\n" * 5000)
    meta = b'{"status": "complete", "attempt": [0, 1, 0, "t"]}'
    name = f"r{number}"
    pieces = [member(f"log_{name}/data/x", bytes(5000)), member(f"log_{name}/metadata.json", meta)]
    pack.append(name, "000000.1.000001.000000.t", pieces)
    again = Logbook("again", base, {"x": ["y" * 100] * number}, overwrite=True)
    again.json("metrics", {"n": number})
    if number == 2:
        print("ready", flush=True)
"""


def check(base: Path) -> None:
    """Check that each file comes from one write; only the last write may be missing."""
    with (base / "e" / "index.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len({len(row) for row in rows}) == 1
    frame = Experiment("e", base).to_dataframe()
    assert set(frame["status"][:-1]) == {"complete"}
    assert frame["status"].iloc[-1] in ("complete", "interrupted")
    reader = ExperimentReader(base / "e")
    for run in list(reader)[:-1]:
        assert run.metrics["x"] == run.params["x"]
    log = LogReader(base / "log_a")
    assert log.status == "interrupted"
    assert [step for _, step, _ in log.steps] == list(range(1, len(log.steps) + 1))
    assert len(set(log.read("artifacts/raw").split())) == 1
    both = log.load_array("both:a"), log.load_array("both:b")
    assert len(set(both[0]) | set(both[1])) == 1
    assert len(set(pd.read_parquet(base / "log_a/data/frame.parquet")["a"])) == 1
    assert len(set((base / "checkpoints/a/own.txt").read_text().split())) == 1
    runs = [run.run_id for run in runs_of(base / "0.a.tar")]
    assert runs == [f"r{number + 1}" for number in range(len(runs))]
    again = base / "log_again"
    if (again / "metadata.json").exists():
        assert LogReader(again).meta["status"] == "initialized"
        metrics = LogReader(again).metrics
        assert not metrics or len(LogReader(again).params["x"]) == metrics["n"]


def test_a_kill_in_the_middle_of_any_write(tmp_path: Path, scale: Scale) -> None:
    for number in range(scale(4, 60)):
        base = tmp_path / str(number)
        argv = [sys.executable, "-c", WRITER, str(base)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(0.004 * number)  # anywhere in the loop
            process.kill()
        check(base)
        exp = Experiment("e", base)  # and it goes on
        log = exp.add(x=10**6)
        assert log is not None
        log.mark_complete()
        (file,) = base.glob(".provenance.*.json")
        assert json.loads(file.read_text())["host"] == os.uname().nodename
