"""The sweep directory: opened, made once, and changed by one submit at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep import files
from hpcsweep.directory import MARKER, SweepDirectory
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

HOLD = """
import sys
from pathlib import Path
from hpcsweep.directory import SweepDirectory
with SweepDirectory.open(Path(sys.argv[1])).submitting():
    print("in", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that is submitting, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    return process


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


def test_a_create_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / f".{MARKER}.{files.token()}").write_text("{")
    assert SweepDirectory.create(tmp_path / "s", "s").name == "s"


def test_several_make_it_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hpcsweep.directory import SweepDirectory\n"
        "sys.stdin.read(); print(SweepDirectory.create(Path(sys.argv[1]), 's').key)"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "s")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
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
def test_what_is_no_sweep(tmp_path: Path, content: str | None, message: str) -> None:
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


def test_facts_about_parts(tmp_path: Path) -> None:
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


# --- one submit at a time ------------------------------------------------------------------------


def test_of_two_submits_the_second_refuses(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    with hold(sweep.path) as first:
        with pytest.raises(SweepBusy, match=f"process {first.pid} on {os.uname().nodename}"):
            sweep.submitting().__enter__()
        assert first.stdin
        first.stdin.close()
    with sweep.submitting():
        pass


def test_the_place_of_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    with hold(sweep.path) as first:
        first.send_signal(signal.SIGKILL)
    assert json.loads((sweep.path / "submit.lock").read_text())["pid"] == first.pid
    with sweep.submitting():
        assert json.loads((sweep.path / "submit.lock").read_text())["pid"] == os.getpid()
    assert (sweep.path / "submit.lock").read_text() == ""


def test_the_place_is_given_back_after_an_error(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    with pytest.raises(KeyError), sweep.submitting():
        raise KeyError
    with sweep.submitting():
        pass


def test_the_name_of_another_host_counts_where_its_lock_does_not_reach(tmp_path: Path) -> None:
    """Lustre's localflock and NFS without locks keep a lock to one host."""
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    lock = sweep.path / "submit.lock"
    lock.write_text('{"host": "login2", "pid": 7}')
    with pytest.raises(SweepBusy, match="process 7 on login2") as caught:
        sweep.submitting().__enter__()
    assert f"remove {lock}" in caught.value.next_step
    assert lock.read_text()  # not ours to empty


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '{"pid": 1}', "\0\0"])
def test_a_lock_file_without_a_name_is_free(tmp_path: Path, content: str) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    (sweep.path / "submit.lock").write_text(content)
    with sweep.submitting():
        pass
