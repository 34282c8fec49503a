"""The sweep directory: opened, and made once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep import files
from hpcsweep.errors import SweepError
from hpcsweep.sources import grid
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.locate import locate
from tests.support.sweeps import MadeSweep

# --- made once -----------------------------------------------------------------------------------


def test_a_sweep_directory_is_made_once(tmp_path: Path) -> None:
    first = SweepDirectory.create(tmp_path / "out" / "s", "s")
    again = SweepDirectory.create(tmp_path / "out" / "s", "s")
    assert first == again == SweepDirectory.open(tmp_path / "out" / "s")
    assert len(first.key) == 16
    assert (first.path.stat().st_mode & 0o077) == 0


def test_its_key_survives_a_move(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    (tmp_path / "s").rename(tmp_path / "t")
    assert SweepDirectory.open(tmp_path / "t").key == sweep.key


def test_a_sweep_of_another_name(tmp_path: Path) -> None:
    SweepDirectory.create(tmp_path / "s", "s")
    with pytest.raises(SweepError, match="belongs to the sweep 's', not 't'"):
        SweepDirectory.create(tmp_path / "s", "t")


@pytest.mark.parametrize("what", ["file", "full"])
def test_something_else_in_the_way(tmp_path: Path, what: str) -> None:
    path = tmp_path / "s"
    if what == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    with pytest.raises(SweepError, match="is in the way"):
        SweepDirectory.create(path, "s")
    assert not (path / MARKER).exists()


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert SweepDirectory.create(tmp_path / "s", "s").name == "s"


def test_leftovers_of_a_failed_first_submit_do_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / "s" / ".claims").mkdir(parents=True)
    (tmp_path / "s" / "cluster.json").write_text("{}")
    assert SweepDirectory.create(tmp_path / "s", "s").name == "s"


def test_a_killed_create_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / f".{MARKER}.{files.token()}").write_text("{")
    assert SweepDirectory.create(tmp_path / "s", "s").name == "s"


@pytest.mark.parametrize("name", [".4711.0", ".sweep.json.6f1c0a3be2d94857"])
def test_leftovers_of_a_killed_create_do_not_block_the_next(tmp_path: Path, name: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_text("{")
    assert SweepDirectory.create(tmp_path / "s", "s").name == "s"


def test_several_processes_create_the_sweep(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from hpcsweep.sweepdir.directory import SweepDirectory\n"
        "sys.stdin.read(); print(SweepDirectory.create(Path(sys.argv[1]), 's').key)"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "s")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdin
        maker.stdin.close()
        maker.stdin = None
    keys = [maker.communicate(timeout=30)[0] for maker in makers]
    assert len(set(keys)) == 1, keys
    assert keys[0].strip() == SweepDirectory.open(tmp_path / "s").key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a sweep directory"),
        ("", "not JSON"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 1, "name": "s"}', "is damaged"),
        ('{"format": 2, "name": "s", "key": "k"}', "has format 2, this program reads 1"),
    ],
)
def test_directories_that_are_no_sweep(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / MARKER).write_text(content)
    with pytest.raises(SweepError, match=message) as caught:
        SweepDirectory.open(tmp_path)
    assert str(tmp_path) in caught.value.where
    assert caught.value.next_step
    with pytest.raises(SweepError, match="is not a sweep directory"):
        SweepDirectory.open(tmp_path / "none")


# --- what lies in it -----------------------------------------------------------------------------


def test_submissions_are_numbers(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    assert sweep.submissions() == []
    with pytest.raises(SweepError, match="nothing was submitted yet"):
        sweep.newest_manifest()
    for name in ("0002", "0001", "10000", "9999", ".0003.0123456789abcdef", "notes"):
        (sweep.path / "submissions" / name).mkdir(parents=True)
    assert sweep.submissions() == [1, 2, 9999, 10000]
    assert sweep.submission_dir(10000).is_dir()


def test_the_newest_manifest_is_the_last_submissions(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]))
    made.plan()
    first = made.manifest.fingerprint
    made.freeze(grid(x=[1, 2]))
    assert made.directory.newest_manifest() == first  # frozen is not yet submitted
    made.plan()
    assert made.directory.newest_manifest() == made.manifest.fingerprint != first


def test_part_facts_are_read_and_written(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]))
    made.plan()
    assert made.directory.part_facts(1) == {}
    made.handed_in(part=0, job_id="7")
    made.fact("intent", part=12, job_name="n", time=1.0)
    folder = made.directory.submission_dir(1)
    for name in (".part-0001.job.json.0123", "part-0001.job.json~", "part-x.job.json"):
        (folder / name).write_text("{")
    facts = made.directory.part_facts(1)
    assert facts.keys() == {0, 12}
    assert facts[0].keys() == {"intent", "job"}
    assert facts[0]["job"]["job_id"] == "7"
    with pytest.raises(FileExistsError):  # never rewritten: what is learned later is a new file
        made.fact("job", job_id="8", time=0.0)


def test_a_directory_with_several_sweeps_names_them(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    made = [MadeSweep(tmp_path / "outputs", grid(x=[1]), name=name) for name in ("a", "b")]
    with pytest.raises(SweepError, match=r"has several sweeps: a, b\n.*outputs/a, or its manifest"):
        locate(str(tmp_path))
    shutil.rmtree(made[1].path)
    assert locate(str(tmp_path)).path == made[0].path
