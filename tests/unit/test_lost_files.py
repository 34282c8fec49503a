"""Files of complete cases that are gone or damaged are named; what is intact is delivered."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hpcsweep.cli import main
from hpcsweep.logbook.packs import PackLocation
from hpcsweep.logbook.tar import members
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

PYTHON = "def run(x, log):\n    log.text('note', str(x))\n    return {'y': x}\n"
CASES = 4


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeSweep]:
    """A sweep for each way of keeping runs, whose cases are all complete."""
    found = {}
    for runs in ("all", "packed", "failed", "none"):
        # Where no files are kept, `log` refuses them.
        python = "def run(x): return {'y': x}\n" if runs == "none" else PYTHON
        made = MadeSweep(tmp_path_factory.mktemp(runs), grid(x=list(range(CASES))), python=python)
        made.plan(chunk_size=2, runs=runs)
        made.handed_in()
        for task in (0, 1):
            made.run(task)
        found[runs] = made
    return found


def cli(made: MadeSweep, command: str, *arguments: str) -> Result:
    done = CliRunner().invoke(main, [command, str(made.path), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def doctor(made: MadeSweep) -> tuple[str, str]:
    done = cli(made, "doctor", "--json", "--cluster", "submitit:local")
    (found,) = (one for one in json.loads(done.stdout) if one["what"] == "files")
    assert (done.exit_code == 1) >= (found["state"] == "problem")
    return found["state"], found["text"]


def place_of(made: MadeSweep, index: int) -> tuple[Path, PackLocation]:
    place = PackLocation.parse(made.ends()[index]["run_dir"])
    assert place is not None
    path = made.path / place.pack
    path.chmod(0o600)
    return path, place


def change(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


# --- nothing is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("runs", ["all", "packed", "failed", "none"])
def test_existing_files_are_reported_as_good(
    templates: dict[str, MadeSweep], tmp_path: Path, runs: str
) -> None:
    made = templates[runs].copy(tmp_path)
    kept = runs in ("all", "packed")
    text = "4 complete cases have theirs" if kept else "no complete case has any kept"
    assert doctor(made) == ("ok", text)
    done = cli(made, "files", "artifacts/note.txt")
    # Where none are kept by the user's own choice, none is missing.
    assert done.exit_code == (0 if kept else 3)
    assert done.stdout == ("0\n1\n2\n3\n" if kept else "")


def test_an_unpacked_sweep_needs_no_packs(templates: dict[str, MadeSweep], tmp_path: Path) -> None:
    made = templates["packed"].copy(tmp_path)
    assert len(cli(made, "unpack").stdout.split()) == CASES
    shutil.rmtree(made.path / "runs" / "packs")
    assert doctor(made) == ("ok", "4 complete cases have theirs")
    assert cli(made, "files", "artifacts/note.txt").stdout == "0\n1\n2\n3\n"
    again = cli(made, "unpack")
    assert (again.exit_code, again.stdout) == (0, "")


# --- what may become of a run directory ----------------------------------------------------------

PLAIN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "removed": ("gone", shutil.rmtree),
    "without metadata": ("damaged", lambda path: (path / "metadata.json").unlink()),
    "cut metadata": ("damaged", lambda path: os.truncate(path / "metadata.json", 30)),
    "empty metadata": ("damaged", lambda path: os.truncate(path / "metadata.json", 0)),
    "without metrics": ("gone", lambda path: (path / "artifacts" / "metrics.json").unlink()),
}


@pytest.mark.parametrize("what", PLAIN)
def test_a_run_directory(templates: dict[str, MadeSweep], tmp_path: Path, what: str) -> None:
    made = templates["all"].copy(tmp_path)
    kind, damage = PLAIN[what]
    damage(made.run_dir(1))
    done = cli(made, "files", "artifacts/metrics.json")
    assert (done.exit_code, len(done.stdout.split("}\n"))) == (1, CASES)
    assert f"index 1, {made.source[1].case_id}: {kind}: " in done.stderr
    assert f"files of complete cases: 1 {kind}" in done.stderr
    state, text = doctor(made)
    assert (state, text.splitlines()[0]) == ("problem", f"of 4 complete cases 1 {kind}:")
    if what != "without metrics":
        logs = cli(made, "logs", "1")
        assert (logs.exit_code, kind in logs.stderr) == (1, True)


@pytest.mark.parametrize("paths", [[], ["--paths"]])
def test_cases_without_a_file_that_they_need_not_have_are_counted(
    templates: dict[str, MadeSweep], tmp_path: Path, paths: list[str]
) -> None:
    made = templates["all"].copy(tmp_path)
    (made.run_dir(1) / "artifacts" / "note.txt").unlink()
    shutil.rmtree(made.run_dir(2))
    done = cli(made, "files", "artifacts/note.txt", *paths)
    assert (done.exit_code, len(done.stdout.split())) == (1, 2)
    assert "1 of 4 cases that were begun has no file artifacts/note.txt\n" in done.stderr
    assert "files of complete cases: 1 gone" in done.stderr
    done = cli(made, "files", "artifacts/note.txt", "--cases", "0,3", *paths)
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_cut_document_that_files_cannot_judge(
    templates: dict[str, MadeSweep], tmp_path: Path
) -> None:
    made = templates["all"].copy(tmp_path)
    os.truncate(made.run_dir(2) / "artifacts" / "metrics.json", 3)
    state, text = doctor(made)
    assert (state, text.splitlines()[0]) == ("problem", "of 4 complete cases 1 damaged:")


def test_many_are_counted_and_ten_are_named(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(15))))
    made.plan()
    made.run()
    shutil.rmtree(made.path / "runs")
    done = cli(made, "files", "metadata.json")
    lines = done.stderr.splitlines()
    assert (done.exit_code, len(lines)) == (1, 11)
    assert lines[-1] == "files of complete cases: 15 gone"


# --- what may become of a pack -------------------------------------------------------------------


def negative_size(path: Path, place: PackLocation) -> None:
    """With a right checksum: int() takes the sign, and the walk goes back for ever."""
    head = bytearray(path.read_bytes()[place.offset : place.offset + 512])
    head[124:136] = b"-0000001000\0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    change(path, place.offset, bytes(head))


def last_header(path: Path, place: PackLocation) -> int:
    """Where that of `metadata.json` is."""
    data = path.read_bytes()
    (*_, last) = members(lambda at, size: data[at : at + size], place.offset, len(data))
    return last.start


PACKED: dict[str, tuple[str, Callable[[Path, PackLocation], object]]] = {
    "a negative size": ("damaged", negative_size),
    "a size that is none": ("damaged", lambda path, at: change(path, at.offset + 124, b"zzzz")),
    "a later header": ("damaged", lambda path, at: change(path, last_header(path, at) + 257, b"!")),
    "cut off": ("damaged", lambda path, at: os.truncate(path, at.offset + at.length - 600)),
    "zeros": ("damaged", lambda path, at: change(path, at.offset, bytes(at.length))),
    "removed": ("gone", lambda path, _: path.unlink()),
}


@pytest.mark.parametrize("what", PACKED)
def test_a_pack(templates: dict[str, MadeSweep], tmp_path: Path, what: str) -> None:
    made = templates["packed"].copy(tmp_path)
    kind, damage = PACKED[what]
    damage(*place_of(made, 3))
    lost = {2, 3} if what == "removed" else {3}
    said = f"files of complete cases: {len(lost)} {kind}"
    done = cli(made, "files", "artifacts/note.txt")
    assert done.exit_code == 1
    assert done.stdout.split() == [str(x) for x in range(CASES) if x not in lost]
    assert said in done.stderr
    assert f"index 3, {made.source[3].case_id}: {kind}: {made.path}/runs/packs/1." in done.stderr
    logs = cli(made, "logs", "3")
    assert (logs.exit_code, kind in logs.stderr) == (1, True)
    done = cli(made, "unpack")
    assert (done.exit_code, said in done.stderr) == (1, True)
    assert done.stdout.split() == [str(made.run_dir(x)) for x in range(CASES) if x not in lost]
    assert not list(made.path.glob("runs/.log_*"))
    state, text = doctor(made)
    assert (state, text.splitlines()[0]) == ("problem", f"of 4 complete cases {len(lost)} {kind}:")
    assert cli(made, "status").exit_code == 0
