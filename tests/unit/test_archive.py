"""A sweep in one tar: commands read it as they read its directory, and `tar` as any other."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.errors import Damaged, SweepError
from hpcsweep.files import names
from hpcsweep.project.archiving import archive
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.sweepdir import archive as archive_module
from hpcsweep.sweepdir.archive import BLOCK, HEAD_SIZE, Archive, is_archive, open_archived
from hpcsweep.sweepdir.directory import INDEX_NAME, SweepDirectory
from hpcsweep.sweepdir.kept_copies import kept_copy
from hpcsweep.sweepdir.locate import locate
from tests.support.sweeps import MadeSweep

SETTINGS = Settings(query_interval_s=0.0)
PYTHON = """
def run(x, log):
    log.info(f"x is {x}")
    return {"y": 1 / (2 - x)}
"""
LAYOUTS = ("all", "packed", "failed")


def cli(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done


def made_in(root: Path, runs: str) -> MadeSweep:
    """A sweep of three cases that is over: one failed. Slurm's output of its task is there."""
    made = MadeSweep(root, grid(x=[1, 2, 3]), python=PYTHON)
    made.plan(runs=runs)
    made.handed_in()
    made.run()
    logs = made.directory.log_dir(1)
    logs.mkdir(parents=True)
    (logs / "0.100_0.log").write_text("Slurm printed this\n")
    (made.path / "journal/0001/0").mkdir(parents=True, exist_ok=True)
    (made.path / "journal/0001/0/0.9.0123456789abcdef.jsonl").write_text("torn\n")
    return made


READ = {
    "status": ("--check", "--json"),
    "collect": ("--format", "jsonl"),
    "logs": ("--cases", "0-2"),
    "files": ("metadata.json",),
}


@pytest.mark.parametrize("runs", LAYOUTS)
def test_every_reader_says_the_same(
    runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_in(tmp_path, runs)
    monkeypatch.chdir(tmp_path)
    before = {verb: said(verb, "s", made.path, *options) for verb, options in READ.items()}
    assert cli("archive", "s", "-o", "x.tar", "--outputs", ".").stdout == "written: x.tar\n"
    made.path.rename(tmp_path / "elsewhere")
    inside = tmp_path / "x.tar"
    after = {verb: said(verb, "x.tar", inside, *options) for verb, options in READ.items()}
    for verb, text in before.items():
        assert after[verb] == text
    assert "torn" in before["collect"]
    assert "Slurm printed this" in before["logs"]


def said(verb: str, sweep: str, path: Path, *options: str) -> str:
    """What a command says, without paths and times that differ."""
    argument = (verb, sweep, *options)
    done = CliRunner().invoke(main, [*argument[:2], *options, "--outputs", "."])
    kept = [
        line.partition(str(path))[0] if str(path) in line else line
        for line in (done.stdout + done.stderr).splitlines()
        if "passed over" not in line and '"path"' not in line and '"asked_s_ago"' not in line
    ]
    torn = "torn" if "passed over: " in done.stderr else ""
    return "\n".join([*kept, torn, str(done.exit_code)])


def test_tar_makes_the_directory_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_in(tmp_path, "all")
    monkeypatch.chdir(tmp_path)
    archive(made.directory, Path("x.tar"), SETTINGS)
    (tmp_path / "there").mkdir()
    subprocess.run(["tar", "-xf", "x.tar", "-C", "there"], check=True)
    assert SweepDirectory.open(tmp_path / "there/s").key == made.directory.key
    rows = cli("collect", "there/s", "--format", "jsonl").stdout
    assert rows == cli("collect", "x.tar", "--format", "jsonl").stdout
    with tarfile.open("x.tar") as tar:
        names = tar.getnames()
    assert names[0] == "s/archive.json"
    assert names[-1] == "s/archive.index"
    assert not [name for name in names if ".claims" in name]


def test_an_archive_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_in(tmp_path, "packed")
    monkeypatch.chdir(tmp_path)
    cli("archive", str(made.path))
    content = Path("s.tar").read_bytes()
    for arguments in (
        ("retry", "s.tar"),
        ("cancel", "s.tar"),
        ("advance", "s.tar"),
        ("ingest", "s.tar"),
        ("unpack", "s.tar"),
        ("rename", "s.tar", "t"),
        ("rm", "s.tar", "--yes"),
        ("clean", "s.tar"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code in (5, 6, 7), (arguments, done.output)
    advice = cli("status", "s.tar").stdout
    assert "It is an archive: `tar xf` makes a sweep directory of it" in advice
    assert "retry" not in advice
    message = cli("rm", "s.tar", "--yes", code=5).stderr
    assert "s.tar: is an archive, which can only be read" in message
    assert Path("s.tar").read_bytes() == content
    assert "s.tar: is there already" in cli("archive", "s", "--outputs", ".", code=5).stderr


def test_list_and_python_know_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_in(tmp_path, "all")
    monkeypatch.chdir(tmp_path)
    archive(made.directory, Path("x.tar"), SETTINGS)
    (tmp_path / "other.tar").write_bytes(b"x" * 2000)
    found = json.loads(cli("list", ".", "--json").stdout)
    (entry,) = [one for one in found if one["name"].endswith(".tar")]
    assert (entry["kind"], entry["cases"], entry["counts"]["complete"]) == ("archive", 3, 2)
    assert entry["size_bytes"] > 0
    sweep = hs.Sweep("x.tar")
    assert [row.get("y") for row in sweep.query()] == [1.0, None, -1.0]
    assert "x is 3" in sweep.logs(2)
    with pytest.raises(SweepError):
        sweep.cancel()
    # Another archive of that name is read anew: its files are elsewhere.
    Path("x.tar").unlink()
    (made.path / "a-file").write_text("x" * 5000)
    archive(made.directory, Path("x.tar"), SETTINGS)
    assert "x is 3" in hs.Sweep("x.tar").logs(2)


def test_a_damaged_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_in(tmp_path, "all")
    monkeypatch.chdir(tmp_path)
    archive(made.directory, Path("x.tar"), SETTINGS)
    content = Path("x.tar").read_bytes()
    unfinished = content[:BLOCK] + b" " * HEAD_SIZE + content[BLOCK + HEAD_SIZE :]
    newer = content.replace(b'{"format": 1', b'{"format": 9', 1)
    offset = json.loads(content[BLOCK : BLOCK + HEAD_SIZE])["index"][0]
    broken = content[:offset] + b"!" + content[offset + 1 :]
    for number, (data, why) in enumerate(
        (
            (unfinished, "was not written to its end"),
            (newer, "has format 9"),
            (broken, "its index is damaged"),
            (content[: offset // 2], "its index is damaged"),
        )
    ):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(data)
        assert is_archive(path)
        with pytest.raises(SweepError, match=why):
            open_archived(path)
    hostile = content.replace(b'"sweep.json"', b'"../../ev.x"')
    (tmp_path / "hostile.tar").write_bytes(hostile)
    with pytest.raises(SweepError, match="would leave the directory"):
        locate(str(tmp_path / "hostile.tar"))
    assert Damaged("x").exit_code == 5


def test_a_large_index_is_extracted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_in(tmp_path, "all")
    path = tmp_path / "x.tar"
    archive(made.directory, path, SETTINGS)
    monkeypatch.setattr(archive_module, "KEPT_INDEX", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    extracted: list[str] = []
    extract = Archive.extract

    def counting(self: Archive, names: Iterable[str], root: Path) -> None:
        wanted = list(names)
        extracted.extend(name for name in wanted if name == INDEX_NAME)
        extract(self, wanted, root)

    monkeypatch.setattr(Archive, "extract", counting)
    index = [(open_archived(path).path / INDEX_NAME).resolve() for _ in range(2)]
    assert (index[0], extracted) == (index[1], [INDEX_NAME])
    assert len(hs.open(path).query()) == 3
    # Another archive of the same name has another copy.
    archive(made.directory, tmp_path / "y.tar", SETTINGS)
    (tmp_path / "y.tar").rename(path)
    assert (open_archived(path).path / INDEX_NAME).resolve() != index[0]
    assert extracted == [INDEX_NAME] * 2


def test_copies_are_bounded_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written: list[str] = []

    def keep(key: str) -> Path | None:
        def write(path: Path) -> None:
            path.write_text(key)
            written.append(key)

        return kept_copy(key, "file", write)

    program = (
        "import sys, tempfile; from pathlib import Path\n"
        "from hpcsweep.sweepdir.kept_copies import kept_copy\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "for key in 'abc': assert kept_copy(key, 'file', lambda path: path.write_text(key))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    (home,) = tmp_path.glob("hpcsweep-*-archives")
    assert sorted(names(home)) == ["a", "b", "c"]  # in use while it ran
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    found = keep("c")
    assert (found and found.read_text(), written) == ("c", [])
    assert sorted(names(home)) == ["b", "c"]
    (home / "b" / "file").unlink()  # as the cleaner of /tmp does
    assert keep("b")
    assert written == ["b"]
    home.chmod(0o755)
    assert keep("c") is None
    home.rename(tmp_path / "elsewhere")
    home.symlink_to(tmp_path / "elsewhere")
    assert keep("c") is None


def test_what_runs_is_not_archived(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 3]))
    made.plan()
    made.handed_in()
    with pytest.raises(SweepError, match="run or wait"):
        archive(made.directory, tmp_path / "x.tar", SETTINGS)
    assert not list(tmp_path.glob("*.tar*"))
