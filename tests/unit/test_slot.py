"""A slot and its child: user code can cost one case, and its end is reported truthfully."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.records import Resources, error_text
from hpcsweep.sources import grid, manual
from tests.support.journals import Record
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# Each case does one thing; all of them in one task, with a good one after each.
EVERY_END = """\
import ctypes, os, signal, subprocess, sys, time

def run(what, n, log):
    log.metric("pid", os.getpid())
    log.metric("parent", os.getppid())
    if what == "return": return {"n": n}
    if what == "nothing": return
    if what == "raise": raise ValueError("no good \\udcff")
    if what == "deep": 1 / 0
    if what == "exit 0": sys.exit(0)
    if what == "exit None": sys.exit()
    if what == "exit 3": sys.exit(3)
    if what == "exit text": sys.exit("text")
    if what == "_exit 3": os._exit(3)
    if what == "_exit 0": os._exit(0)
    if what == "segfault": ctypes.string_at(0)
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if what == "abort": os.abort()
    if what == "interrupt": raise KeyboardInterrupt
    if what == "not a dict": return 5
    if what == "not JSON": return {"energy": {1, 2}}
    if what == "odd class": raise type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})
    if what == "conflict": log.metric("n", n); return {"n": n + 1}
    if what == "recursion": return run(what, n, log)
    if what == "close all": os.closerange(0, 1000); return {"n": n}
    if what == "kill parent": os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)
    raise AssertionError(what)
"""
# By what a case does: status, reason, type of the error, words of its message.
ENDS: dict[str, tuple[str, str | None, str | None, str]] = {
    "return": ("complete", None, None, ""),
    "nothing": ("complete", None, None, ""),
    "exit 0": ("complete", None, None, ""),
    "exit None": ("complete", None, None, ""),
    "raise": ("failed", "error", "ValueError", "no good \\udcff"),
    "deep": ("failed", "error", "ZeroDivisionError", "division by zero"),
    "exit 3": ("failed", "exit_code", "SystemExit", "sys.exit(3)"),
    "exit text": ("failed", "exit_code", "SystemExit", "sys.exit('text')"),
    "_exit 3": ("failed", "exit_code", "exit_code", "exit code 3"),
    "_exit 0": ("failed", "exit_code", "exit_code", "exit code 0"),
    "segfault": ("failed", "signal", "signal", "SIGSEGV"),
    "kill": ("failed", "signal", "signal", "SIGKILL"),
    "abort": ("failed", "signal", "signal", "SIGABRT"),
    "interrupt": ("failed", "error", "KeyboardInterrupt", ""),
    "not a dict": ("failed", "error", "InputError", "returned int, not a dict"),
    "not JSON": ("failed", "error", "InputError", "a set is not a JSON value"),
    "odd class": ("failed", "error", "Odd", "cannot be printed"),
    "conflict": ("failed", "error", "InputError", "by log.metric and"),
    "recursion": ("failed", "error", "RecursionError", "maximum recursion depth"),
    "close all": ("complete", None, None, ""),
    "kill parent": ("failed", "signal", "signal", "SIGKILL"),
}


def metadata(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "metadata.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def every_end(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """A task that has run all of ENDS, each with a good case behind it."""
    cases = [
        {"what": what, "n": n}
        for n, end in enumerate(ENDS)
        for what in (end, "return")
        if n or what == end
    ]
    seen = {json.dumps(case): case for case in cases}
    root = tmp_path_factory.mktemp("ends")
    made = MadeSweep(root, manual(list(seen.values())), python=EVERY_END)
    made.plan()
    made.run()
    return made


def index_of(made: MadeSweep, what: str) -> int:
    return next(case.index for case in made.source if case.params["what"] == what)


@pytest.mark.parametrize("what", ENDS)
def test_a_case_has_the_status_of_its_end(every_end: MadeSweep, what: str) -> None:
    status, reason, kind, words = ENDS[what]
    end = every_end.ends()[index_of(every_end, what)]
    assert (end["status"], end.get("reason")) == (status, reason)
    error = end.get("error") or {}
    assert error.get("type") == kind, error
    assert words in error.get("message", "")
    run_dir = every_end.path / end["run_dir"]
    found = metadata(run_dir)
    assert (found["status"], found["token"]) == (status, end["attempt"][3])
    assert found.get("failure_reason", "") == error_text(error)


def test_metrics_reported_before_the_end_are_kept(every_end: MadeSweep) -> None:
    ends = every_end.ends()
    for what in ("return", "nothing", "raise", "exit 0", "exit 3", "not JSON"):
        assert ends[index_of(every_end, what)]["metrics"]["pid"] > 0, what


@pytest.mark.parametrize(("what", "lines"), [("raise", 1), ("deep", 1)])
def test_a_traceback_has_only_user_frames(every_end: MadeSweep, what: str, lines: int) -> None:
    end = every_end.ends()[index_of(every_end, what)]
    trace = end["error"]["traceback"]
    assert trace.count('File "') == lines
    assert "target.py" in trace
    assert "hpcsweep" not in trace
    stderr = (every_end.path / end["run_dir"] / "stderr.txt").read_text()
    assert stderr.strip() == trace.strip()


def test_a_crash_costs_the_case_that_crashed(every_end: MadeSweep) -> None:
    ends = every_end.ends()
    assert len(ends) == every_end.source.n_cases
    good = [case for case in every_end.source if case.params["what"] == "return"]
    assert len(good) == len(ENDS)
    assert {ends[case.index]["status"] for case in good} == {"complete"}


def test_every_case_has_a_process_of_its_own(every_end: MadeSweep) -> None:
    """A fork of the child that has imported the target, which survives whatever its cases do."""
    ends = every_end.ends()
    told = [
        ends[case.index]["metrics"] for case in every_end.source if case.params["what"] == "return"
    ]
    assert len({metrics["pid"] for metrics in told}) == len(told)
    # One more since a case killed it.
    assert len({metrics["parent"] for metrics in told}) == 2


def test_every_outcome_has_code_digest_and_resources(every_end: MadeSweep) -> None:
    ends = every_end.ends().values()
    assert len({end["code_digest"] for end in ends}) == 1
    assert all(end["wall_seconds"] >= 0 for end in ends)
    assert all(end["cpu_seconds"] >= 0 for end in ends)
    assert all(end["max_rss_bytes"] > 2**20 for end in ends)


def test_the_journal_of_a_task(every_end: MadeSweep) -> None:
    records = every_end.records("task", "begin", "end")
    assert [r["kind"] for r in records[1:-1]] == ["begin", "end"] * every_end.source.n_cases
    task, last = records[0], records[-1]
    assert (task["kind"], task["array_job_id"], task["node"]) == ("task", "100", "n1")
    assert (last["kind"], last["status"], "index" in last) == ("end", "complete", False)
    assert {r["manifest"] for r in records} == {every_end.manifest.fingerprint}
    assert {tuple(r["attempt"]) for r in records} == {(0, 1, 0, task["attempt"][3])}


LAST_WORDS = """\
import ctypes, os, signal, sys
early = sys.stdout

def run(how, end):
    if how == "print": print("last words")
    if how == "many": print("last", "words")
    if how == "early": early.write("last words\\n")
    if how == "bytes": sys.stdout.buffer.write(b"last words"); print()
    if how == "error": print("last words", file=sys.stderr)
    if end == "exit": os._exit(3)
    if end == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if end == "segfault": ctypes.string_at(0)
"""


@pytest.mark.parametrize("runs", ["all", "packed", "none"])
def test_the_output_before_a_crash_is_kept(tmp_path: Path, runs: str) -> None:
    hows = ["print", "many", "early", "bytes", "error"]
    source = grid(how=hows, end=["exit", "kill", "segfault", "return"])
    made = MadeSweep(tmp_path, source, python=LAST_WORDS)
    made.plan(runs=runs)
    done = made.run()
    ends = made.ends()
    if runs == "none":  # into the task's own output
        assert (done.stdout + done.stderr).count("last words\n") == source.n_cases
        return
    readers = {reader.meta["index"]: reader for reader in ExperimentReader(made.path)}
    for case in made.source:
        name = "stderr.txt" if case.params["how"] == "error" else "stdout.txt"
        assert readers[case.index].read(name) == b"last words\n", case.params
        assert (ends[case.index]["status"] == "complete") == (case.params["end"] == "return")


# --- what user code does to its surroundings -----------------------------------------------------

SURROUNDINGS = """\
import os, subprocess, sys
import numpy as np

def run(what, log, seed, case, params):
    if what == "chdir": os.chdir("/"); return {"cwd": os.getcwd()}
    if what == "cwd": return {"cwd": os.getcwd()}
    if what == "binary": os.write(1, b"\\xff\\x00\\n"); os.write(2, b"\\xfe"); return {}
    if what == "close": sys.stdout.close(); sys.stderr.close(); return {}
    if what == "print": print("hello"); print("oh", file=sys.stderr); return {}
    if what == "background":
        return {"child": subprocess.Popen(["sleep", "600"]).pid}
    if what == "numpy":
        return {"a": np.float64(0.5), "b": np.arange(3), "c": np.float64("nan"), "d": [np.inf, 1]}
    if what == "large": return {"x": "y" * 1_000_000}
    if what == "given":
        return {"seed": str(seed), "id": case.case_id, "params": params, "tags": list(case.tags)}
    if what == "threads":
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SRUN_CPUS_PER_TASK")
        return {name: os.environ[name] for name in names}
    if what == "cpus": return {"cpus": len(os.sched_getaffinity(0))}
"""
WHATS = ["binary", "chdir", "cwd", "print", "background", "numpy", "large", "given", "threads"]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    made = MadeSweep(
        tmp_path_factory.mktemp("around"),
        manual([{"what": what} for what in [*WHATS, "close", "print again"]][:-1], tags=["t"]),
        python=SURROUNDINGS,
        resources=Resources(options={"cpus-per-task": "3"}),
        seed=5,
    )
    made.plan()
    made.run(MKL_NUM_THREADS="7")
    return made


def ended(made: MadeSweep, what: str) -> Record:
    return made.ends()[index_of(made, what)]


def test_all_of_these_complete(surroundings: MadeSweep) -> None:
    ends = surroundings.ends()
    assert {case.params["what"]: ends[case.index]["status"] for case in surroundings.source} == (
        dict.fromkeys([*WHATS, "close"], "complete")
    )


def test_every_case_starts_in_the_manifests_directory(surroundings: MadeSweep) -> None:
    assert ended(surroundings, "chdir")["metrics"] == {"cwd": "/"}
    assert ended(surroundings, "cwd")["metrics"] == {"cwd": str(surroundings.root)}


def test_output_goes_into_the_run_directory(surroundings: MadeSweep) -> None:
    binary = surroundings.path / ended(surroundings, "binary")["run_dir"]
    assert (binary / "stdout.txt").read_bytes() == b"\xff\x00\n"
    assert (binary / "stderr.txt").read_bytes() == b"\xfe"
    printed = surroundings.path / ended(surroundings, "print")["run_dir"]
    assert (printed / "stdout.txt").read_text() == "hello\n"
    assert (printed / "stderr.txt").read_text() == "oh\n"
    silent = surroundings.path / ended(surroundings, "cwd")["run_dir"]
    assert sorted(one.name for one in silent.iterdir()) == [
        "artifacts",
        "metadata.json",
        "params.yaml",
    ]


def test_processes_left_behind_end_with_the_task(surroundings: MadeSweep) -> None:
    pid = ended(surroundings, "background")["metrics"]["child"]

    wait_until(lambda: not alive(pid), 60, f"the end of process {pid}")


def alive(pid: int | str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_metrics_of_numpy_and_large_ones(surroundings: MadeSweep) -> None:
    assert ended(surroundings, "numpy")["metrics"] == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": {"$float": "nan"},
        "d": [{"$float": "inf"}, 1],
    }
    assert len(ended(surroundings, "large")["metrics"]["x"]) == 1_000_000


def test_a_metric_of_fifty_megabytes(tmp_path: Path) -> None:
    python = "def run(x): return {'x': 'y' * (50_000_000 if x == 0 else 200_000_000)}\n"
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan(runs="none")
    made.run()
    first, second = made.ends()[0], made.ends()[1]
    assert len(first["metrics"]["x"]) == 50_000_000
    assert "metrics have 2000000" in second["error"]["message"]


def test_a_target_gets_the_arguments_that_it_names(surroundings: MadeSweep) -> None:
    case = surroundings.source[index_of(surroundings, "given")]
    end = ended(surroundings, "given")
    assert end["metrics"] == {
        "seed": str(int(metadata(surroundings.path / end["run_dir"])["seed"], 16)),
        "id": case.case_id,
        "params": {"what": "given"},
        "tags": list(case.tags),
    }


def test_thread_variables_and_the_users_own(surroundings: MadeSweep) -> None:
    assert ended(surroundings, "threads")["metrics"] == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "7",
        "SRUN_CPUS_PER_TASK": "3",
    }


def test_a_case_after_one_that_closed_its_output(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path, manual([{"what": w} for w in ("close", "print")]), python=SURROUNDINGS
    )
    made.plan()
    made.run()
    assert {end["status"] for end in made.ends().values()} == {"complete"}
    printed = made.path / ended(made, "print")["run_dir"]
    assert (printed / "stdout.txt").read_text() == "hello\n"


SPOILT = {
    "shutil.rmtree(log.path)": "complete",  # its own loss
    "shutil.rmtree(log.path); log.path.write_text('')": "failed",
    "(log.path / 'artifacts').write_text('')": "failed",
    "os.unlink(log.path / 'metadata.json'); os.mkdir(log.path / 'metadata.json')": "failed",
}


@pytest.mark.parametrize("damage", SPOILT)
def test_a_case_that_damages_its_run_directory(tmp_path: Path, damage: str) -> None:
    """The damage costs that case alone: the next ones run."""
    python = (
        f"import os, shutil\ndef run(x, log):\n    if x == 1: {damage}\n    return {{'x': x}}\n"
    )
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]), python=python)
    made.plan()
    made.run()
    ends = made.ends()
    assert {index: end["status"] for index, end in ends.items()} == {
        0: "complete",
        1: SPOILT[damage],
        2: "complete",
    }
    if SPOILT[damage] == "failed":
        assert "run directory" in ends[1]["error"]["message"]
        assert ends[1]["metrics"] == {"x": 1}
        assert "run_dir" not in ends[1]


COUNTING = """
import os, sys
reads, real = [], os.read
os.read = lambda *a: (reads.append(a), real(*a))[1]
from hpcsweep.worker.task import main
main(sys.argv[1:])
print(len(reads))
"""


def test_the_end_of_a_silent_child_is_waited_for_and_not_polled(tmp_path: Path) -> None:
    """A target that closes all descriptors leaves a pipe that is readable for ever.

    In the child itself, which its thread keeps from being forked.
    """
    python = (
        "import os, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "def run(x): os.closerange(3, 1000); time.sleep(0.5)\n"
    )
    made = MadeSweep(tmp_path, grid(x=[1]), python=python)
    made.plan()
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(made.path), "1", "0"],
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert made.ends()[0]["reason"] == "exit_code"
    assert int(done.stdout) < 50


def test_a_module_that_cannot_be_imported_on_the_node(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python="import nosuchmodule\ndef run(x): pass\n")
    made.plan()
    made.run()
    for end in made.ends().values():
        assert (end["status"], end["reason"]) == ("failed", "error")
        assert end["error"]["type"] == "ModuleNotFoundError"
        assert "nosuchmodule" in end["error"]["message"]
        assert "target.py" in end["error"]["traceback"]


def test_a_case_that_cannot_answer_is_reported(tmp_path: Path) -> None:
    """Here it cannot write its answer, and the task's own output says so."""
    python = """\
import resource
def run(x):
    if x == 0: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    if x == 1: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]), python=python)
    made.plan()
    with made.start() as process:
        _, said = process.communicate(timeout=60)
    ends = made.ends()
    assert [ends[index]["status"] for index in range(3)] == ["complete", "failed", "complete"]
    assert "125" in ends[1]["error"]["message"]
    assert "File too large" in said


# --- limits ---


@pytest.mark.parametrize("ignores", [False, True])
def test_a_case_timeout(tmp_path: Path, ignores: bool) -> None:
    """TERM, then KILL; the next case has a child of its own."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if ignores else "pass"
    python = (
        "import os, signal, time\ndef run(x):\n"
        f"    if x == 0: {ignore}; time.sleep(600)\n    return {{'pid': os.getpid()}}\n"
    )
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python, case_timeout_s=3.0)
    made.plan(term_grace_s=0.2)
    made.run()
    first, second = made.ends()[0], made.ends()[1]
    assert (first["status"], first["reason"]) == ("failed", "case_timeout")
    assert "longer than 3 s" in first["error"]["message"]
    assert second["status"] == "complete"


def test_a_case_ends_with_a_killed_worker_whatever_it_closed(tmp_path: Path) -> None:
    """The notice of the worker's end is kept open by the process that has forked the case."""
    python = """\
import os, time
from pathlib import Path
def run(x):
    os.closerange(3, 1000)
    Path(__file__).with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)
"""
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan()

    def pid() -> str:
        return (tmp_path / "pid").read_text()

    with made.start() as task:
        wait_until(lambda: (tmp_path / "pid").exists() and bool(pid()), 30, "the case began")
        task.kill()
    wait_until(lambda: not alive(pid()), 60, f"the end of {pid()}")
