"""Tasks in another interpreter than hpcsweep's, which has nothing of hpcsweep installed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from hpcsweep.worker.launcher import OLDEST_PYTHON
from tests.support.clusters import HPCSWEEP, cluster, emulated
from tests.support.here import Here, here, there
from tests.support.pythons import make_environment, other_python

OLDEST = ".".join(map(str, OLDEST_PYTHON))

__all__ = ["cluster", "emulated", "here", "there"]

TARGET = """\
import multiprocessing
import shutil
import sys

import mypackage


def child(x):
    from hpcsweep.records import Status
    return f"{x}{Status.COMPLETE}"


def is_importable(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def run(x, log):
    log.info("begun")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.map(child, [x])
    return {
        "answer": mypackage.ANSWER + x,
        "version": "%d.%d" % sys.version_info[:2],
        "leaks": [name for name in ("click", "sqlalchemy", "pydantic") if is_importable(name)],
        "spawned": spawned,
        "python": shutil.which("python"),
    }
"""
MANIFEST = """\
name: s
target: t.py:run
source: {grid: {x: [1, 2]}}
python: env
chunk: 2
"""


def write_project(here: Here, python: str | Path) -> Path:
    """A project whose environment has a package. Returns the environment."""
    packages = make_environment(here.path / "env", python)
    (packages / "mypackage.py").write_text("ANSWER = 42\n")
    here.write("t.py", TARGET)
    here.write("m.yaml", MANIFEST)
    return here.path / "env"


def test_worker_and_target_run_in_the_environment(there: Here) -> None:
    environment = write_project(there, other_python(OLDEST))
    there.finishes()
    # Nobody has collected: the tasks themselves have written the index, by hpcsweep's interpreter.
    with closing(sqlite3.connect(there.sweep / "store.sqlite3")) as index:
        assert index.execute("select count(*) from cases").fetchone() == (2,)
    rows = there.rows()
    assert [row["answer"] for row in rows] == [43, 44]
    for row in rows:
        assert (row["version"], row["leaks"]) == (OLDEST, [])
        assert row["python"] == str(environment / "bin/python")
    assert [row["spawned"] for row in rows] == [["1complete"], ["2complete"]]
    origin = json.loads((there.sweep / "submissions/0001/provenance.json").read_text())
    assert origin["python"]["executable"] == str(environment / "bin/python")
    assert origin["python"]["version"].startswith(f"{OLDEST}.")
    assert origin["packages"] == []


def test_a_case_here_runs_in_the_environment(here: Here) -> None:
    write_project(here, other_python(OLDEST))
    argv = [HPCSWEEP, "run", "m.yaml", "--index", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert (metrics["answer"], metrics["version"]) == (44, OLDEST)


def test_a_python_that_is_too_old_is_refused(here: Here) -> None:
    write_project(here, other_python("3.8"))
    message = here.refuses(4, "submit", "m.yaml")
    assert "m.yaml:4: `python: " in message
    assert "env/bin/python is Python 3.8; tasks need 3.9 or newer" in message


def test_a_program_that_is_no_python_is_refused(here: Here) -> None:
    write_project(here, sys.executable)
    program = here.write("greeting", "#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    here.write("m.yaml", MANIFEST.replace("python: env", "python: ./greeting"))
    message = here.refuses(4, "submit", "m.yaml")
    assert (
        f"m.yaml:4: `python: {program}` ended with exit code 1: {program} is no Python" in message
    )


def test_a_module_that_the_environment_lacks(here: Here) -> None:
    write_project(here, sys.executable)
    here.write("t.py", "import click\ndef run(x): return {}\n")  # hpcsweep's own environment has it
    message = here.refuses(4, "submit", "m.yaml")
    assert "No module named 'click'" in message
    assert f"run by {here.path}/env/bin/python, which m.yaml:4 names" in message


def test_an_interpreter_that_a_node_lacks_is_a_failed_setup(here: Here) -> None:
    write_project(here, sys.executable)
    for name in ("bin", "bin0"):
        program = f'#!/bin/sh\nexec {here.path}/env/bin/python "$@"\n'
        here.write(f"{name}/python8", program).chmod(0o755)
    setup = 'setup: ["export PATH=$PWD/bin$SLURM_ARRAY_TASK_ID:$PATH"]\n'
    text = MANIFEST.replace("chunk: 2", "chunk: 1")
    here.write("m.yaml", text.replace("python: env\n", f"python: python8\n{setup}"))
    here.cli("submit", "m.yaml", "--wait", code=9)
    first, second = here.rows()
    assert (first["status"], second["status"]) == ("complete", "failed")
    assert second["reason"] == "setup"
    assert "m.yaml:4" in second["error"]


def test_a_command_named_python_is_that_of_the_environment(here: Here) -> None:
    write_project(here, sys.executable)
    here.write("sim.py", "import mypackage, sys\nassert sys.argv[1] == 'é'\n")
    command = "name: s\ncommand: [python, sim.py, '{x}']\nsource: {grid: {x: [é]}}\npython: env\n"
    here.write("m.yaml", command)
    here.finishes()


def test_submitit_runs_it_too(here: Here) -> None:
    write_project(here, other_python(OLDEST))
    here.does("submit", "m.yaml", "--cluster", "submitit:local", "--wait")
    assert [row["version"] for row in here.rows()] == [OLDEST, OLDEST]


MODEL = """\
import hpcsweep as hs


class Result(hs.Base):
    __tablename__ = "results"
    x: hs.Mapped[int]
"""
RUNNER = """\
import sys
import mypackage


def run(x, result_file):
    assert "sqlalchemy" not in sys.modules
    with open(result_file, "w") as stream:
        stream.write(str(x))
"""


def test_the_model_of_a_cache_stays_with_hpcsweep(here: Here) -> None:
    write_project(here, sys.executable)
    here.write("model.py", MODEL)
    here.write("t.py", RUNNER)
    cache = "result_cls: model.py:Result\ndb_url: sqlite:///results.sqlite3\n"
    here.write("m.yaml", MANIFEST + cache)
    here.finishes()
    assert [row["status"] for row in here.rows()] == ["complete", "complete"]
    with closing(sqlite3.connect(here.path / "results.sqlite3")) as results:
        assert results.execute("select x from results order by x").fetchall() == [(1,), (2,)]
