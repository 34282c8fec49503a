"""A start reports damaged files of earlier starts, uses intact ones, and runs the rest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsweep.files import remove_tree
from hpcsweep.journal import encode
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

COUNTED = """\
from pathlib import Path

def run(x):
    with (Path(__file__).parent / "runs").open("a") as stream:
        stream.write(f"{x}\\n")
    return {"x": x}
"""


def begun_again(made: MadeSweep, unread: Path | None = None) -> tuple[dict[int, int], str]:
    """How often each case ran when the task had started again, and what its log says.

    `unread` is what nobody can read, as this test cannot.
    """
    done = made.run(restart=1)
    if unread is not None:
        remove_tree(unread)
    latest = {}
    for end in made.records("end"):
        if "index" in end:
            latest[end["index"]] = end["status"]
    assert latest == dict.fromkeys(range(made.source.n_cases), "complete")
    ran = (made.root / "runs").read_text().split()
    return {x: ran.count(str(x)) for x in range(made.source.n_cases)}, done.stderr


def finished(root: Path, runs: str, *, journal: bool = False) -> MadeSweep:
    """A task of three cases that ended; its journal is gone, unless it is kept."""
    made = MadeSweep(root, grid(x=[0, 1, 2]), python=COUNTED)
    made.plan(runs=runs)
    made.run()
    if not journal:
        # As if it had been killed before it could say what it had made.
        (path,) = made.path.glob("journal/0001/0/*.jsonl")
        task, *_ = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(task)
    return made


def test_a_job_id_of_the_target_costs_no_case(tmp_path: Path) -> None:
    made = finished(tmp_path, "all")
    for path in made.path.glob("runs/log_*/metadata.json"):
        # As a version before 2026-11-30 wrote what the target had set by `log.meta`.
        fields = json.loads(path.read_text()) | {"job_id": 7}
        del fields["outcome"]["job_id"]
        path.write_text(json.dumps(fields))
    ran, _ = begun_again(made)
    assert ran == {0: 1, 1: 1, 2: 1}
    assert not [end for end in made.records("end") if "index" in end and "job_id" in end]


# --- packs ---------------------------------------------------------------------------------------


def offsets(pack: Path) -> list[int]:
    return [int(line.split()[0]) for line in pack.with_suffix(".idx").read_text().splitlines()]


def header(data: bytearray, offset: int) -> None:
    data[offset + 20] ^= 1


def document(data: bytearray, offset: int) -> None:
    at = data.index(b'"case_id"', offset)
    data[at] = 0


def outcome(data: bytearray, offset: int) -> None:
    at = data.index(b'"outcome": {', offset)
    data[at : data.index(b"}", at) + 1] = (
        b'"outcome": [' + b" " * (data.index(b"}", at) - at - 12) + b"]"
    )


@pytest.mark.parametrize("spoil", [header, document, outcome])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_damaged_pack(
    tmp_path: Path, spoil: Callable[[bytearray, int], None], indexed: bool
) -> None:
    made = finished(tmp_path, "packed")
    (pack,) = made.path.glob("runs/packs/*.tar")
    _, second, third = offsets(pack)
    data = bytearray(pack.read_bytes())
    spoil(data, second)
    pack.write_bytes(data)
    if not indexed:
        pack.with_suffix(".idx").unlink()
    ran, said = begun_again(made)
    behind = 2 if spoil is header and not indexed else 1
    assert ran == {0: 1, 1: 2, 2: behind}
    told = [line for line in said.splitlines() if pack.name in line]
    assert told, said
    if spoil is not outcome:
        (byte,) = {int(found) for found in re.findall(r"byte (\d+)", "\n".join(told))}
        assert second <= byte < third


@pytest.mark.parametrize("what", ["fifo", "directory", "link"])
def test_a_pack_that_is_no_file(tmp_path: Path, what: str) -> None:
    made = finished(tmp_path, "packed")
    (pack,) = made.path.glob("runs/packs/*.tar")
    no_file(pack, what)
    ran, said = begun_again(made)
    assert ran == {0: 2, 1: 2, 2: 2}
    assert pack.name in said


def no_file(path: Path, what: str) -> None:
    """Put something that is no file in the place of a file."""
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


# --- journals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["fifo", "directory", "link", "bytes", "record"])
def test_a_damaged_journal(tmp_path: Path, what: str) -> None:
    made = finished(tmp_path, "none", journal=True)
    (path,) = made.path.glob("journal/0001/0/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    (second,) = (n for n, line in enumerate(lines) if b'"kind":"end"' in line and b'"x":1' in line)
    if what == "bytes":
        lines[second] = lines[second].replace(b'"x":1', b'"x":2')
        path.write_bytes(b"".join(lines))
    elif what == "record":
        record = json.loads(lines[second][9:]) | {"index": [1]}
        lines[second] = encode(record)
        path.write_bytes(b"".join(lines))
    else:
        no_file(path, what)
    is_file = what in ("bytes", "record")
    ran, said = begun_again(made, None if is_file else path)
    kept = 1 if is_file else 2
    assert ran == {0: kept, 1: 2, 2: kept}
    assert f"{path.name}: " in said


# --- run directories -----------------------------------------------------------------------------

DOCUMENTS = ["fifo", "directory", "link", "", "{", "[]", '{"x": 1e999}', "[" * 5000 + "]" * 5000]


def unjournalled(root: Path, cases: int, where: str) -> tuple[MadeSweep, list[Path]]:
    """A task that ended, without its journal, and the directories of its cases."""
    made = MadeSweep(root, grid(x=list(range(cases))), python=COUNTED)
    made.plan()
    made.run()
    ends = made.ends()
    for journal in made.path.glob("journal/0001/0/*.jsonl"):
        journal.unlink()
    found = [made.run_dir(index) for index in range(cases)]
    if where == "leftover":
        aside = made.path / "runs" / ".attempts"
        for index, path in enumerate(found):
            name = f"{ends[index]['case_id']}.{ends[index]['attempt'][3]}"
            found[index] = path.rename(aside / name)
    return made, found


@pytest.mark.parametrize("name", ["metadata.json", "artifacts/metrics.json"])
@pytest.mark.parametrize("where", ["published", "leftover"])
def test_a_damaged_run_directory(tmp_path: Path, where: str, name: str) -> None:
    """All ways to damage a document at once: one directory for each."""
    made, paths = unjournalled(tmp_path, len(DOCUMENTS), where)
    for path, text in zip(paths, DOCUMENTS, strict=True):
        if text in ("fifo", "directory", "link"):
            no_file(path / name, text)
        else:
            (path / name).write_text(text)
    ran, said = begun_again(made)
    # Metadata that are JSON, of one field, are of nothing that is complete.
    assert ran == dict.fromkeys(range(len(DOCUMENTS)), 2)
    told = [line for line in said.splitlines() if line.startswith("hpcsweep: ")]
    assert len(told) == len(DOCUMENTS) - (name == "metadata.json"), said


WRONG = [
    {"attempt": 5},
    {"attempt": [0, 1, "x", "y"]},
    {"token": 7},
    {"attempt": [0, 1, 0, "../../x"]},
    {"outcome": 3},
    {"outcome": {"status": "complete", "started": "soon"}},
    {"host": 5},
    {"chunk": -1},
    {"index": None},
    {"case_id": "f" * 16},
    {"manifest": "m"},
]


@pytest.mark.parametrize("where", ["published", "leftover"])
def test_metadata_of_a_wrong_shape(tmp_path: Path, where: str) -> None:
    made, paths = unjournalled(tmp_path, len(WRONG), where)
    for path, fields in zip(paths, WRONG, strict=True):
        found = json.loads((path / "metadata.json").read_bytes())
        (path / "metadata.json").write_text(json.dumps(found | fields))
    ran, said = begun_again(made)
    harmless = WRONG.index({"token": 7})
    assert ran == {x: 2 - (x == harmless) for x in range(len(WRONG))}
    assert said.count("its metadata are damaged") == len(WRONG) - 1
    assert not (made.path / "x").exists()


OWN = """\
DOCUMENTS = DOCS

def run(x, log):
    log["metadata.json"].write_text(DOCUMENTS[x])
    return {"x": x}
"""
UNWRITABLE = [r'{"a": "\ud800"}', r'{"\udfff": 1}', '{"a": ' + "[" * 900 + "]" * 900 + "}", "[]"]


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_metadata_that_the_case_itself_damaged(tmp_path: Path, runs: str) -> None:
    """JSON that can be read is not always JSON that can be written."""
    python = OWN.replace("DOCS", repr(UNWRITABLE))
    made = MadeSweep(tmp_path, grid(x=list(range(len(UNWRITABLE)))), python=python)
    made.plan(runs=runs)
    made.run()
    ends = made.ends()
    assert {i: end["status"] for i, end in ends.items()} == dict.fromkeys(
        range(len(UNWRITABLE)), "complete"
    )
