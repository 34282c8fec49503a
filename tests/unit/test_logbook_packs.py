"""Packed runs: one tar per task start, whole up to any byte, read as if they were plain."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import Experiment, ExperimentReader
from hpcsweep.errors import Damaged, InputError, RunMissing, SweepError
from hpcsweep.files import names
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.packs import (
    COPY_BYTES,
    PackedFiles,
    PackLocation,
    PackWriter,
    file_members,
    open_packed_run,
    runs_of,
)
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.run_directory import Run
from hpcsweep.logbook.spool import Spool
from hpcsweep.logbook.tar import header, member, members
from hpcsweep.records import Attempt, Outcome, ParamCase, Status
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.unpack import unpack, unpack_run
from hpcsweep.sources import grid
from tests.support.fixtures import Scale
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

METADATA = json.dumps({"status": "complete", "attempt": [0, 1, 0, "f" * 16]}).encode()


def filled(path: Path, runs: int = 3) -> list[PackLocation]:
    """A pack of small runs."""
    pack, places = PackWriter(path), []
    for number in range(runs):
        files = {
            "params.yaml": b"x: %d\n" % number,
            "data/x.bin": bytes(700),
            "e": b"",
            "metadata.json": METADATA,
        }
        pieces = [member(f"log_x={number}/{name}", data) for name, data in files.items()]
        places.append(pack.append(f"x={number}", "000000.1", pieces))
    pack.close()
    return places


# --- tar -----------------------------------------------------------------------------------------


file_names = st.lists(st.text("aä. ", min_size=1, max_size=120), min_size=1, max_size=4).map(
    "/".join
)


@given(st.lists(st.tuples(file_names, st.binary(max_size=1500)), min_size=1, max_size=4))
def test_every_tar_reads_what_we_write(files: list[tuple[str, bytes]]) -> None:
    data = b"".join(member(name, content) for name, content in files)
    found = list(members(lambda offset, size: data[offset : offset + size], 0, len(data)))
    assert [(one.name, data[one.content : one.content + one.size]) for one in found] == files
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [
            (one.name, (archive.extractfile(one) or io.BytesIO()).read()) for one in archive
        ] == files


def test_a_file_beyond_eight_gigabytes_has_its_size() -> None:
    data = header("x", 9 * 2**30)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = archive.next()
    assert found is not None
    assert found.size == 9 * 2**30


# --- a pack --------------------------------------------------------------------------------------


def test_a_pack_is_a_tar(tmp_path: Path) -> None:
    filled(tmp_path / "0.a.tar")
    command = ["tar", "tf", str(tmp_path / "0.a.tar")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:4] == [
        "log_x=0/params.yaml",
        "log_x=0/data/x.bin",
        "log_x=0/e",
        "log_x=0/metadata.json",
    ]
    assert done.stderr == ""


def test_a_run_by_one_seek(tmp_path: Path) -> None:
    places = filled(tmp_path / "0.a.tar")
    run = open_packed_run(tmp_path, places[1])
    assert run is not None
    assert run.run_id == "x=1"
    assert run.names() == ["data/x.bin", "e", "metadata.json", "params.yaml"]
    assert run.read("data/x.bin") == bytes(700)
    assert run.read("e") == b""
    assert run.read("none") is None
    with pytest.raises(RunMissing):
        run.open("none")
    assert open_packed_run(tmp_path, PackLocation("0.b.tar", 0, 512)) is None
    beyond = PackLocation.parse(f"{places[1]}0")
    assert beyond is not None
    with pytest.raises(Damaged, match="is damaged at byte"):
        LogReader(open_packed_run(tmp_path, beyond) or run).files.names()


@pytest.mark.parametrize(
    "text",
    ["runs/log_x=1", "a.tar#-1+5", "a.tar#1+", "a.tar#\u00b2+1", f"a.tar#1+{'9' * 5000}", "#1+1"],
)
def test_invalid_pack_locations(text: str) -> None:
    assert PackLocation.parse(text) is None


@pytest.mark.parametrize("indexed", [True, False])
def test_a_pack_that_is_cut_anywhere_is_readable_up_to_there(
    tmp_path: Path, indexed: bool, scale: Scale
) -> None:
    whole = tmp_path / "0.a.tar"
    places = filled(whole)
    data = whole.read_bytes()
    cut = tmp_path / "cut.tar"
    if indexed:
        shutil.copy(whole.with_suffix(".idx"), cut.with_suffix(".idx"))
    for size in range(0, len(data), scale(97, 1)):
        cut.write_bytes(data[:size])
        found = [run.run_id for run in runs_of(cut)]
        expected = [f"x={n}" for n, one in enumerate(places) if one.offset + one.length <= size]
        # The last file's padding is nobody's loss.
        assert found[: len(expected)] == expected
        assert len(found) <= len(expected) + 1
        for run in runs_of(cut):
            assert json.loads(run.read("metadata.json") or b"")["status"] == "complete"
        done = subprocess.run(["tar", "tf", str(cut)], capture_output=True, text=True, check=False)
        complete = [line for line in done.stdout.split() if line.endswith("metadata.json")]
        assert len(complete) >= len(expected)


def test_an_index_that_is_cut_or_gone_costs_nothing(tmp_path: Path) -> None:
    pack = tmp_path / "0.a.tar"
    filled(pack)
    index = pack.with_suffix(".idx")
    lines = index.read_bytes()
    for size in range(0, len(lines), 5):
        index.write_bytes(lines[:size])
        assert [run.run_id for run in runs_of(pack)] == ["x=0", "x=1", "x=2"]
        assert [run.rank[:8] for run in runs_of(pack)] == ["000000.1"] * 3


def test_a_full_disk_leaves_the_pack_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = PackWriter(tmp_path / "0.a.tar")
    pack.append("a", "r", [member("log_a/metadata.json", METADATA)])
    size, write = (tmp_path / "0.a.tar").stat().st_size, os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 600:
            return write(descriptor, data[:600])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(SweepError, match="No space"):
            pack.append("b", "r", [bytes(2000)])
    assert (tmp_path / "0.a.tar").stat().st_size == size
    pack.append("c", "r", [member("log_c/metadata.json", METADATA)])
    pack.close()
    assert [run.run_id for run in runs_of(tmp_path / "0.a.tar")] == ["a", "c"]


def test_unpacking(tmp_path: Path) -> None:
    places = filled(tmp_path / "0.a.tar")
    run = open_packed_run(tmp_path, places[0])
    assert run is not None
    unpack_run(run, tmp_path / "log_x=0")
    assert LogReader(tmp_path / "log_x=0").files.names() == run.names()
    with pytest.raises(SweepError, match="exists already"):
        unpack_run(run, tmp_path / "log_x=0")


# --- a sweep -------------------------------------------------------------------------------------

PYTHON = """\
import os, sys
import numpy as np

def run(x, log, checkpoint):
    print("printed", x)
    print("complained", file=sys.stderr)
    log.info(f"logged {x}")
    log.meta(note=x)
    log.array("x", np.full(3, x))
    log.json("metrics", {"y": x})
    if x == 1:
        log["data/by hand.txt"].write_text("hand")
        log.metric("loss", 0.5, step=1)
        log.info("after the path")
    if x == 2:
        raise ValueError("bad")
    if x == 3:
        os._exit(7)
    checkpoint.save({"x": x})
    return {"z": 2 * x}
"""


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    return MadeSweep(tmp_path, grid(x=[0, 1, 2, 3]), python=PYTHON)


def check_reader(reader: ExperimentReader, made: MadeSweep) -> None:
    runs = {run.params["x"]: run for run in reader}
    assert sorted(runs) == [0, 1, 2, 3]
    assert {x: run.status for x, run in runs.items()} == {
        0: "complete",
        1: "complete",
        2: "failed",
        3: "failed",
    }
    assert runs[0].metrics == {"y": 0, "z": 0}
    assert runs[0].files.names() == [
        "artifacts/metrics.json",
        "data/x.npy",
        "log.txt",
        "metadata.json",
        "params.yaml",
        "stderr.txt",
        "stdout.txt",
    ]
    assert [run.load_array("x").tolist() for _, run in sorted(runs.items())] == [
        [x] * 3 for x in range(4)
    ]
    assert runs[1].read("data/by hand.txt") == b"hand"
    assert runs[1].steps == [("loss", 1, 0.5)]
    assert b"logged 1" in runs[1].read("log.txt")
    assert b"after the path" in runs[1].read("log.txt")
    # What was written before the process ended is there.
    assert runs[3].read("stdout.txt") == b"" or b"printed" in runs[3].read("stdout.txt")
    assert b"logged 3" in runs[3].read("log.txt")
    assert runs[2].meta["note"] == 2
    assert "bad" in runs[2].meta["failure_reason"]
    assert reader.params == {run.run_id: run.params for run in runs.values()}
    assert set(reader.to_dataframe()["x"]) == {0, 1, 2, 3}
    # A sweep is an experiment, too.
    found = Experiment(made.path.name, made.path.parent).select(status="complete")
    assert (found["x"].tolist(), found["z"].tolist()) == ([0, 1], [0, 2])
    rows = {row["run_id"]: row["status"] for row in reader.index()}
    assert rows == {run.run_id: run.status for run in runs.values()}
    with (made.path / "index.csv").open(newline="") as stream:
        assert {row["run_id"]: row["status"] for row in csv.DictReader(stream)} == rows
    assert made.source.n_cases == len(reader)


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_readers_see_no_difference(made: MadeSweep, runs: str) -> None:
    made.plan(runs=runs)
    made.run()
    assert names(made.path / "runs" / ".attempts") == []
    assert (made.path / "runs" / "packs").exists() == (runs == "packed")
    check_reader(ExperimentReader(made.path), made)
    assert names(made.path / "checkpoints") == sorted(
        f".{made.source[index].case_id}.complete" for index in (0, 1)
    )
    logs = made.logs(1)
    texts = dict(logs.texts)
    assert any("logged 1" in text for text in texts.values())
    assert not [name for name in names(Path(os.environ["TMPDIR"])) if "hpcsweep" in name]


@pytest.mark.parametrize("digits", [1, 3])
@pytest.mark.parametrize("runs", ["all", "packed"])
def test_runs_in_shards(made: MadeSweep, runs: str, digits: int) -> None:
    made.plan(runs=runs, shard_digits=digits)
    made.run()
    check_reader(ExperimentReader(made.path), made)
    if runs == "packed":
        assert len(list(unpack(made.directory, DamageReport()))) == 4
        shutil.rmtree(made.path / "runs" / "packs")
    check_reader(ExperimentReader(made.path), made)
    run_id = made.run_dir(0).name
    shards = "/".join(["?" * 2] * (digits // 2) + ["?"] * (digits % 2))
    (found,) = made.path.glob(f"runs/{shards}/{run_id}")
    assert made.source[0].case_id.startswith("".join(found.parts[-1 - (digits + 1) // 2 : -1]))
    with ExperimentReader(made.path)[run_id.removeprefix("log_")].files.open("log.txt") as stream:
        assert b"logged 0" in stream.read()


def test_packed_runs_become_directories(made: MadeSweep) -> None:
    made.plan(runs="packed")
    made.run()
    (one,) = unpack(made.directory, DamageReport(), IndexSet.of([1]))
    assert one == made.run_dir(1)
    assert len(list(unpack(made.directory, DamageReport()))) == 3
    assert list(unpack(made.directory, DamageReport())) == []
    shutil.rmtree(made.path / "runs" / "packs")
    check_reader(ExperimentReader(made.path), made)


def test_unpack_without_packs_is_an_error(made: MadeSweep) -> None:
    made.plan(runs="all")
    made.run()
    with pytest.raises(InputError, match="nothing is packed"):
        list(unpack(made.directory, DamageReport()))


def test_the_journal_has_the_location_of_a_run(made: MadeSweep) -> None:
    made.plan(runs="packed")
    made.run()
    for index, end in made.ends().items():
        run = open_packed_run(
            made.path, PackLocation.parse(end["run_dir"]) or PackLocation("none", 0, 0)
        )
        assert run is not None
        assert LogReader(run).params == {"x": index}


def test_only_failed_runs_are_kept(made: MadeSweep) -> None:
    made.plan(runs="failed")
    made.run()
    ends = made.ends()
    assert {index: "run_dir" in end for index, end in ends.items()} == {
        0: False,
        1: False,
        2: True,
        3: True,
    }
    assert len(names(made.path / "runs")) == 3  # two runs, and .attempts
    run = LogReader(made.run_dir(2))
    assert (run.params, run.status) == ({"x": 2}, "failed")
    assert run.load_array("x").tolist() == [2] * 3
    assert b"logged 2" in run.read("log.txt")
    assert b"ValueError: bad" in run.read("stderr.txt")


@pytest.mark.parametrize("runs", ["packed", "failed"])
def test_a_command_gets_a_directory(tmp_path: Path, runs: str) -> None:
    script = 'echo out; echo "{{\\"y\\": $1}}" > "$2/metrics.json"; echo $1 > "$2/by"; exit "$1"'
    argv = ["sh", "-c", script, "sh", "{x}", "{run_dir}"]
    made = MadeSweep(tmp_path, grid(x=[0, 1]), argv=argv)
    made.plan(runs=runs)
    made.run()
    assert {index: end["status"] for index, end in made.ends().items()} == {
        0: "complete",
        1: "failed",
    }
    reader = ExperimentReader(made.path)
    found = {run.params["x"]: run for run in reader}
    assert sorted(found) == ([0, 1] if runs == "packed" else [1])
    assert found[1].read("by") == b"1\n"
    assert found[1].read("stdout.txt") == b"out\n"
    assert found[1].metrics == {"y": 1}
    assert not [name for name in names(Path(os.environ["TMPDIR"])) if "hpcsweep" in name]


SLOW = """\
import time
from pathlib import Path
HERE = Path(__file__).parent

def run(x, log):
    with (HERE / "runs").open("a") as stream:
        stream.write(f"{x}\\n")
    log.text("note", str(x))
    if x == 2 and not (HERE / "free").exists():
        (HERE / "begun").touch()
        time.sleep(600)
    return {"x": x}
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restarted_task_continues_in_another_pack(tmp_path: Path, number: signal.Signals) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2, 3]), python=SLOW)
    made.plan(runs="packed")
    with made.start() as task:
        wait_until((tmp_path / "begun").exists, 30, "the third case began")
        task.send_signal(number)
        task.wait(30)
    # As if it had been killed before it could say that case 1 ended.
    (journal,) = made.path.glob("journal/0001/0/*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    (pack,) = made.path.glob("runs/packs/*.tar")
    kept = [line for line in lines if b'"index":1,' in line and b'"end"' in line]
    journal.write_bytes(b"".join(line for line in lines if line not in kept))
    with pack.open("ab") as stream:
        stream.write(b"torn" * 200)
    (tmp_path / "free").touch()
    made.run(restart=1)
    assert sorted(map(int, (tmp_path / "runs").read_text().split())) == [0, 1, 2, 2, 3]
    ends = [record for record in made.records("end") if "index" in record]
    complete = {end["index"]: end for end in ends if end["status"] == "complete"}
    assert {0, 1, 2, 3} <= complete.keys()
    assert complete[1]["attempt"][2] == 0  # the first start's own, found in its pack
    reader = ExperimentReader(made.path)
    assert {run.params["x"]: run.status for run in reader} == dict.fromkeys(range(4), "complete")
    assert {x: run.read("artifacts/note.txt") for x, run in enumerate(reader)} == {
        x: str(x).encode() for x in range(4)
    }


def test_a_large_file_goes_through_in_pieces(tmp_path: Path) -> None:
    python = (
        "def run(x, log):\n    log.bytes('big', bytes(5_000_000) + b'end')\n"
        "    print('y' * 3_000_000)\n"
    )
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan(runs="packed")
    made.run()
    (run,) = ExperimentReader(made.path)
    assert run.read("artifacts/big") == bytes(5_000_000) + b"end"
    assert np.frombuffer(run.read("artifacts/big"), np.uint8).size == 5_000_003
    (restored,) = unpack(made.directory, DamageReport())
    assert (restored / "artifacts" / "big").read_bytes() == bytes(5_000_000) + b"end"
    assert (restored / "stdout.txt").read_text() == "y" * 3_000_000 + "\n"
    assert isinstance(run.files, PackedFiles)
    assert max(map(len, run.files.pieces("artifacts/big"))) <= COPY_BYTES


def test_output_of_a_case_is_streamed(tmp_path: Path) -> None:
    spool = Spool.make(str(tmp_path))
    os.write(spool.out, bytes(3 * COPY_BYTES))
    case = ParamCase(index=0, params={}, case_id="0" * 16)
    attempt = Attempt(generation=0, submission=1, restart=0, token="a" * 16)
    run = Run(run_id="x", case=case, attempt=attempt, chunk=0, manifest="f", seed=1, host="n")
    outcome = Outcome(status=Status.COMPLETE)
    pieces = list(spool.pieces(run, outcome))
    assert max(len(piece) for piece in pieces if isinstance(piece, bytes)) < COPY_BYTES
    PackWriter(tmp_path / "0.a.tar").append("x", "", pieces)
    (found,) = runs_of(tmp_path / "0.a.tar")
    assert found.read("stdout.txt") == bytes(3 * COPY_BYTES)
    spool.restore(run, outcome, tmp_path / "plain")
    assert (tmp_path / "plain" / "stdout.txt").read_bytes() == bytes(3 * COPY_BYTES)
    spool.close()


@pytest.mark.parametrize("end", [b"", b"end"])
def test_holes_stay_holes(tmp_path: Path, end: bytes) -> None:
    """In packs and where they are unpacked."""
    folder = tmp_path / "run"
    folder.mkdir()
    size = 16 * COPY_BYTES + 700
    with (folder / "sparse.h5").open("wb") as stream:
        stream.write(b"begin")
        stream.seek(size - len(end))
        stream.write(end)
        stream.truncate(size)
    content = (folder / "sparse.h5").read_bytes()
    pack = PackWriter(tmp_path / "0.tar")
    place = pack.append("x=1", "000000.1", file_members("x=1", folder, frozenset()))
    assert place.length > size
    pack.close()
    (run,) = runs_of(tmp_path / "0.tar")
    unpack_run(run, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/sparse.h5").read_bytes() == content
    for file in (tmp_path / "0.tar", tmp_path / "unpacked/sparse.h5"):
        assert file.stat().st_blocks * 512 < 4 * COPY_BYTES < file.stat().st_size
    with tarfile.open(tmp_path / "0.tar") as tar:
        packed = tar.extractfile("log_x=1/sparse.h5")
        assert packed is not None
        assert packed.read() == content
