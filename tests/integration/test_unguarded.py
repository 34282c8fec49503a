"""A file that defines a target and submits without a guard gets a message, and submits once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated

__all__ = ["emulated"]

GUARD = '`if __name__ == "__main__":`'
HEAD = """\
import os, subprocess, sys, time
import hpcsweep as hs
with open("imports", "a") as stream:
    stream.write(__name__ + "\\n")
if len(open("imports").readlines()) > 6:
    os._exit(3)  # the test's own brake

def run(x):
    return {"y": x * 2}

"""
SUBMIT = 'hs.Sweep(f"both-{time.time_ns()}", hs.grid(x=[1, 2]), target=run).submit()\n'
SHELL = f'subprocess.run(["{HPCSWEEP}", "submit", "other.yaml"], check=True)\n'
MANIFEST = "name: {name}\ntarget: both.py:run\nsource: {source}\n"
GRID = "{grid: {x: [1, 2]}}"
SOURCE = """
class Cases(list):
    def __init__(self):
        super().__init__([{"x": 1}, {"x": 2}])

"""


def called(cluster: EmulatedCluster, root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A program in the user's directory."""
    return subprocess.run(
        argv, cwd=root, env=cluster.env(), capture_output=True, text=True, check=False
    )


def made(root: Path) -> list[str]:
    """The sweeps in a directory."""
    path = root / "outputs"
    return sorted(one.name for one in path.iterdir()) if path.exists() else []


def imports(root: Path) -> int:
    """How often the file was imported or run."""
    return len((root / "imports").read_text().splitlines())


def write(root: Path, below: str) -> None:
    """The file, with these lines below its function, and a manifest for it."""
    (root / "both.py").write_text(HEAD + below)
    (root / "m.yaml").write_text(MANIFEST.format(name="m", source=GRID))
    (root / "other.yaml").write_text(MANIFEST.format(name="other", source=GRID))


def test_a_function_of_the_unguarded_module_as_target(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    write(tmp_path, SUBMIT)
    done = called(emulated, tmp_path, sys.executable, "both.py")
    assert done.returncode == 1
    assert GUARD in done.stderr
    assert "submit was called while both.py is imported" in done.stderr
    assert "both.py:11" in done.stderr
    assert made(tmp_path) == []
    assert imports(tmp_path) == 2


RUN = ("run", "m.yaml", "--index", "0")


@pytest.mark.parametrize(
    ("command", "below"),
    [
        (("submit", "m.yaml"), SUBMIT),
        (("submit", "m.yaml"), SHELL),
        (RUN, SUBMIT),
        ((*RUN, "--pdb"), SUBMIT),
    ],
    ids=["submit", "submit, from a shell", "run", "run --pdb"],
)
def test_a_manifest_that_names_the_unguarded_module(
    emulated: EmulatedCluster, tmp_path: Path, command: tuple[str, ...], below: str
) -> None:
    write(tmp_path, below)
    done = called(emulated, tmp_path, HPCSWEEP, *command)
    assert done.returncode in (1, 4)
    if below == SUBMIT:  # else it is the program's, and is not shown
        assert GUARD in done.stdout + done.stderr
    assert not {name for name in made(tmp_path) if name.startswith(("both", "other"))}
    assert imports(tmp_path) == 1


@pytest.mark.parametrize("verb", ["wait", "cancel"])
def test_other_verbs_refuse_during_import(
    emulated: EmulatedCluster, tmp_path: Path, verb: str
) -> None:
    """Of an existing sweep: each import would wait for its own task, or cancel it."""
    write(tmp_path, "")
    assert called(emulated, tmp_path, HPCSWEEP, "submit", "m.yaml", "--wait").returncode == 0
    (tmp_path / "imports").unlink()
    write(tmp_path, f'hs.Sweep("m").{verb}()\n')
    done = called(emulated, tmp_path, HPCSWEEP, "submit", "m.yaml", "--rerun", "all")
    assert done.returncode == 4
    assert GUARD in done.stderr
    assert [path.name for path in (tmp_path / "outputs/m/submissions").iterdir()] == ["0001"]


def test_a_module_that_makes_the_cases(emulated: EmulatedCluster, tmp_path: Path) -> None:
    write(tmp_path, SOURCE + SUBMIT)
    source = '{custom: {reference: "both:Cases"}}'
    (tmp_path / "m.yaml").write_text(MANIFEST.format(name="m", source=source))
    done = called(emulated, tmp_path, HPCSWEEP, "plan", "m.yaml")
    assert GUARD in done.stderr
    assert made(tmp_path) == []
    assert imports(tmp_path) == 1


POOL = """
import multiprocessing

if __name__ != "__main__":
    hs.Sweep("pool", hs.grid(x=[1]), target=run).submit()
elif __name__ == "__main__":
    pool = multiprocessing.get_context("spawn").Process(target=run, args=[1])
    pool.start()
    pool.join()
"""


def test_a_process_of_a_pool_that_imports_it_again(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    write(tmp_path, POOL)
    done = called(emulated, tmp_path, sys.executable, "both.py")
    assert GUARD in done.stderr
    assert made(tmp_path) == []
    assert imports(tmp_path) == 2


def test_a_guarded_module_works(emulated: EmulatedCluster, tmp_path: Path) -> None:
    guarded = "".join(f"    {line}\n" for line in SUBMIT.splitlines())
    write(tmp_path, 'if __name__ == "__main__":\n' + guarded)
    done = called(emulated, tmp_path, sys.executable, "both.py")
    assert done.returncode == 0, done.stderr
    assert len(made(tmp_path)) == 1


def test_a_module_of_verbs_is_no_target(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """Nothing of ours imports it: a program may submit in whatever file it likes."""
    write(tmp_path, "")
    (tmp_path / "steps.py").write_text(
        'import hpcsweep as hs\nhs.Sweep("m", hs.grid(x=[1]), target="both.py:run").submit()\n'
    )
    done = called(emulated, tmp_path, sys.executable, "-c", "import steps")
    assert done.returncode == 0, done.stderr
    assert made(tmp_path) == ["m"]
