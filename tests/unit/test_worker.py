"""An array task from start to end: complete cases are kept, missing ones run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import SetupLine
from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid, randint, random
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until


def metadata(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "metadata.json").read_bytes())
    return found


HEAVY = {
    "asyncio",
    "click",
    "jinja2",
    "multiprocessing",
    "numpy",
    "pydantic",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "subprocess",
    "yaml",
}


def test_user_code_starts_with_few_loaded_modules(tmp_path: Path) -> None:
    """What the child has when it calls the target, which its worker has, too."""
    python = "import sys\ndef run(x): return {'loaded': sorted(sys.modules)}\n"
    made = MadeSweep(tmp_path, grid(x=[1]), python=python)
    made.plan()
    made.run()
    loaded = {name.partition(".")[0] for name in made.ends()[0]["metrics"]["loaded"]}
    assert "hpcsweep" in loaded
    assert loaded & HEAVY == set()


# --- signals --------------------------------------------------------------------------


SLOW = """\
import os, signal, time
from pathlib import Path
HERE = Path(__file__).parent

def run(x):
    with (HERE / "runs").open("a") as stream:
        stream.write(f"{x}\\n")
    if x == 1 and not (HERE / "free").exists():
        HANDLER
        (HERE / "begun").touch()
        time.sleep(600)
    return {"x": x}
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize(
    "handler",
    [
        "pass",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.signal(signal.SIGTERM, lambda *_: __import__('sys').exit(0))",
        "signal.signal(signal.SIGTERM, lambda *_: 1 / 0)",
    ],
)
def test_a_task_that_is_signalled_to_end(
    tmp_path: Path, number: signal.Signals, handler: str
) -> None:
    """No further case begins; running ones are interrupted, however they handle the signal."""
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]), python=SLOW.replace("HANDLER", handler))
    made.plan(term_grace_s=0.3)
    with made.start() as task:
        wait_until((tmp_path / "begun").exists, 30, "the second case began")
        task.send_signal(number)
        assert task.wait(30) == 75
    ends = made.ends()
    assert {i: (end["status"], end.get("reason")) for i, end in ends.items()} == {
        0: ("complete", None),
        1: ("interrupted", "terminated"),
    }
    assert [end["word"] for end in ends.values()] == [2, 0]
    assert signal.Signals(number).name in ends[1]["error"]["message"]
    assert [r for r in made.records("end") if "index" not in r] == []  # the task is not over
    (tmp_path / "free").touch()
    made.run(restart=1)
    runs = [int(line) for line in (tmp_path / "runs").read_text().split()]
    assert runs == [0, 1, 1, 2]  # the complete one is not run again
    last = [r for r in made.records("end") if r["attempt"][2] == 1 and "index" in r]
    assert {r["index"]: r["status"] for r in last} == {1: "complete", 2: "complete"}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_task_that_is_signalled_at_its_time_limit(tmp_path: Path, name: str) -> None:
    """After a TERM the scheduler has the last word; who leaves at a warning says why itself."""
    made = MadeSweep(tmp_path, grid(x=[1, 0, 2]), python=SLOW.replace("HANDLER", "pass"))
    made.plan(term_grace_s=0.3)
    with made.start(SLURM_JOB_START_TIME="1000.0", SLURM_JOB_END_TIME="1000.1") as task:
        wait_until((tmp_path / "begun").exists, 30, "the first case began")
        task.send_signal(signal.Signals[name])
        assert task.wait(30) == 75
    end = made.ends()[0]
    assert (end["status"], end["reason"], end["word"]) == ("interrupted", "timeout", 0)
    assert f"by {name}, at the time limit" in end["error"]["message"]
    over = [(r["status"], r["reason"]) for r in made.records("end") if "index" not in r]
    assert over == ([("interrupted", "timeout")] if name == "SIGUSR2" else [])


def start_of(element: int, **fields: Any) -> list[str]:
    """How the script of a scheduler without Slurm's variables starts an element."""
    ids = {"array_job_id": "7[].s", "job_id": f"7[{element}].s", "cluster": "pbs", "node": "n1"}
    return ["--start", json.dumps({"array_task_id": element} | ids | fields)]


def test_a_task_that_nobody_warns_warns_itself(tmp_path: Path) -> None:
    """The first case of a task begins in any time, and this one never ends."""
    made = MadeSweep(tmp_path, grid(x=[1, 0]), python=SLOW.replace("HANDLER", "pass"))
    made.plan(time_limit_s=2, warning_s=120)
    made.run(0, *start_of(0, is_warned=False), code=75)
    assert {index: end["reason"] for index, end in made.ends().items()} == {0: "timeout"}


def test_starts_that_nobody_counts_are_counted_by_their_journals(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]))
    made.plan(chunk_size=1)
    for task in (0, 1, 1):
        made.run(task, *start_of(task))
    starts = [(record["chunk"], record["attempt"][2]) for record in made.records("task")]
    assert sorted(starts) == [(0, 0), (1, 0), (1, 1)]


def test_the_slots_of_a_task_that_says_what_it_has(tmp_path: Path) -> None:
    """Not by the CPUs of this host, which may be more or fewer."""
    made = MadeSweep(
        tmp_path,
        grid(x=[0]),
        python="import os\ndef run(x): return {'threads': os.environ['OMP_NUM_THREADS']}\n",
        needs=CaseNeeds(slots=2),
    )
    made.plan()
    made.run(0, *start_of(0, cpus=6))
    assert made.ends()[0]["metrics"] == {"threads": "3"}


def test_a_killed_task_leaves_its_records(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]), python=SLOW.replace("HANDLER", "pass"))
    made.plan()
    with made.start() as task:
        wait_until((tmp_path / "begun").exists, 30, "the second case began")
        task.kill()
    assert {i: end["status"] for i, end in made.ends().items()} == {0: "complete"}
    assert [r["index"] for r in made.records("begin")] == [0, 1]
    (tmp_path / "free").touch()
    made.run(restart=1)
    runs = [int(line) for line in (tmp_path / "runs").read_text().split()]
    assert runs == [0, 1, 1, 2]


COUNTING = """
import os, sys
synced, real = [], os.fsync
os.fsync = lambda descriptor: (synced.append(descriptor), real(descriptor))[1]
from hpcsweep.worker.task import main
main(sys.argv[1:])
print(len(synced))
"""


def test_a_task_writes_heartbeats(tmp_path: Path) -> None:
    """A long case writes heartbeats, which also make the records before them durable."""
    python = "import time\ndef run(x): time.sleep(x)\n"
    made = MadeSweep(tmp_path, grid(x=[0, 0.35]), python=python)
    made.plan(beat_s=0.1, runs="none")
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(made.path), "1", "0"],
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kinds = [r["kind"] for r in made.records("task", "begin", "beat", "end")]
    # The first case may beat, too: it waits for the import.
    beats = kinds[kinds.index("end") :].count("beat")
    assert [kind for kind in kinds if kind != "beat"] == [
        "task",
        "begin",
        "end",
        "begin",
        "end",
        "end",
    ]
    assert beats >= 1
    assert int(done.stdout) >= beats + 1


# --- what may not be run -------------------------------------------------------------------------


def no_journal(made: MadeSweep) -> bool:
    return made.records("task", "begin", "end") == []


def test_outside_of_an_array(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]))
    made.plan()
    done = made.run(code=5, SLURM_ARRAY_TASK_ID="")
    assert "SLURM_ARRAY_TASK_ID is not set" in done.stderr
    assert "hpcsweep run MANIFEST --index" in done.stderr
    assert no_journal(made)


def test_an_element_that_was_not_planned(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]))
    made.plan(chunk_size=2)
    for how in ({"task": 2}, {"part": 1}, {"submission": 2}):
        made.run(code=5, **how)
    assert no_journal(made)


def test_a_manifest_that_was_changed(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]))
    made.plan()
    path = made.directory.manifest_dir(made.manifest.fingerprint) / "sweep.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    assert "was changed" in made.run(code=5).stderr
    assert no_journal(made)


def test_an_index_that_the_manifest_does_not_have(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]))
    made.plan(IndexSet([(0, 5)]))
    assert "names index 4, the last one of the manifest is 0" in made.run(code=5).stderr
    assert no_journal(made)


# --- setup lines ---------------------------------------------------------------------------------


def test_a_setup_line_that_failed(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path, grid(x=[0, 1]), setup=(SetupLine(text="module load x", where="m.yaml:3"),)
    )
    made.plan()
    made.run(0, "--setup-failed", "m.yaml:3", "127", code=127)
    ends = made.ends()
    assert {i: (end["status"], end["reason"]) for i, end in ends.items()} == {
        0: ("failed", "setup"),
        1: ("failed", "setup"),
    }
    assert "setup line at m.yaml:3 ended with exit code 127" in ends[0]["error"]["message"]
    assert made.records("begin") == []


# --- once and only once --------------------------------------------------------------------------

COUNTED = """\
from pathlib import Path

def run(x, log):
    with (Path(__file__).parent / "runs").open("a") as stream:
        stream.write(f"{x}\\n")
    log.text("own", str(x))
    return {"x": x}
"""


def runs(made: MadeSweep) -> list[int]:
    path = made.root / "runs"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_two_indices_of_one_case(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, random({"x": randint(0, 3)}, 8, seed=1), python=COUNTED)
    made.plan()
    made.run()
    assert sorted(runs(made)) == [0, 1, 2, 3]
    same = {r["index"]: r["case_id"] for r in made.records("same")}
    assert same.keys() | made.ends().keys() == set(range(8))
    assert same.keys().isdisjoint(made.ends())
    for index, case_id in same.items():
        assert made.source[index].case_id == case_id


def test_two_indices_of_one_case_without_run_directories(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path, random({"x": randint(0, 3)}, 8, seed=1), python="def run(x): return {'x': x}\n"
    )
    made.plan(runs="none")
    made.run()
    assert len(made.ends()) == 4
    assert len(made.records("same")) == 4
    assert not (made.path / "runs").exists()


@pytest.mark.parametrize("where", ["published", "leftover"])
def test_a_finished_run_whose_end_was_not_written(tmp_path: Path, where: str) -> None:
    """The worker was killed after the files were complete: the next start says so, and no more."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=COUNTED)
    made.plan()
    made.run()
    first = made.ends()
    for journal in made.directory.journal_dir(1).rglob("*.jsonl"):
        journal.unlink()
    if where == "leftover":
        left = made.path / "runs" / ".attempts" / f"{first[0]['case_id']}.{first[0]['attempt'][3]}"
        made.run_dir(0).rename(left)
    made.run(restart=1)
    assert runs(made) == [0, 1]
    again = made.ends()
    keep = (
        "index",
        "case_id",
        "attempt",
        "chunk",
        "status",
        "metrics",
        "started",
        "ended",
        "wall_seconds",
        "run_dir",
        "code_digest",
        "host",
        "word",
    )
    assert {i: {k: end[k] for k in keep} for i, end in again.items()} == {
        i: {k: end[k] for k in keep} for i, end in first.items()
    }
    assert (made.run_dir(0) / "artifacts" / "own.txt").read_text() == "0"


@pytest.mark.parametrize("damage", ["metrics", "metadata", "status"])
def test_a_run_that_is_not_whole_is_run_again(tmp_path: Path, damage: str) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]), python=COUNTED)
    made.plan()
    made.run()
    for journal in made.directory.journal_dir(1).rglob("*.jsonl"):
        journal.unlink()
    run_dir = made.run_dir(0)
    if damage == "metrics":
        (run_dir / "artifacts" / "metrics.json").write_text("")
    elif damage == "metadata":
        (run_dir / "metadata.json").write_text("[]")
    else:
        found = metadata(run_dir) | {"status": "failed"}
        (run_dir / "metadata.json").write_text(json.dumps(found))
    made.run(restart=1)
    assert runs(made) == [0, 0]
    assert made.ends()[0]["status"] == "complete"


def test_a_rerun_moves_the_older_run_aside(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]), python=COUNTED)
    made.plan()
    made.run()
    (first,) = made.records("end")[:1]
    made.plan(generation=1)
    made.run(submission=2)
    assert runs(made) == [0, 0]
    assert metadata(made.run_dir(0))["generation"] == 1
    old = made.path / "runs" / ".attempts" / f"{first['case_id']}.{first['attempt'][3]}"
    assert metadata(old)["generation"] == 0


def test_failed_cases_are_not_run_again_by_a_restart(tmp_path: Path) -> None:
    python = COUNTED.replace('    log.text("own", str(x))', "    if x == 1: 1 / 0")
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan()
    made.run()
    made.run(restart=1)
    assert runs(made) == [0, 1]


def test_files_of_others_do_not_mislead_the_worker(tmp_path: Path) -> None:
    """A signal.py or json.py beside the target hides nothing from the worker itself."""
    for name in ("json", "signal", "hpcsweep"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('wrong module')\n")
    made = MadeSweep(tmp_path, grid(x=[0]))
    made.plan()
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        made.run(PYTHONSAFEPATH="1")  # as the script does with -P
    finally:
        os.chdir(before)
    assert made.ends()[0]["status"] == "complete"
