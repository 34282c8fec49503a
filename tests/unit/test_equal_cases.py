"""Every case begins with what the import of the target left, whichever cases ran before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

# What a module shares with its functions; each draws on it, changes it, and tells what it found.
SHARED = """\
import atexit, functools, os, random, resource, signal, sys, warnings
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent
rng, legacy, own = np.random.default_rng(0), np.random.RandomState(5), random.Random(3)
random.seed(7); np.random.seed(8)
seen, known, count, array = [], {}, 0, np.zeros(2)
lines = open(HERE / "lines"); lines.readline()
hidden = {"rng": np.random.default_rng(1)}
class Counter: value = 0
counter = Counter()

@functools.cache
def cached(x): seen.append(x); return x

def run(x, default=[]):
    global count
    told = {
        "rng": rng.random(), "hidden": hidden["rng"].random(), "legacy": legacy.rand(),
        "own": own.random(), "python": random.random(), "numpy": np.random.rand(),
        "seen": len(seen), "known": len(known), "count": count, "array": array.sum(),
        "env": os.environ.get("COUNT"), "path": len(sys.path), "cwd": os.getcwd(),
        "handler": signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL, "umask": os.umask(0o77),
        "filters": len(warnings.filters), "limit": sys.getrecursionlimit(),
        "argv": len(sys.argv), "line": lines.readline(), "files": len(os.listdir("/proc/self/fd")),
        "class": Counter.value, "default": len(default),
        "object": vars(counter).get("n"), "cpus": len(os.sched_getaffinity(0)),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
    seen.append(x); known[x] = 1; count += 1; array[0] += 1; os.environ["COUNT"] = str(x)
    sys.path.append("x"); os.chdir("/"); signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    warnings.simplefilter("error"); sys.setrecursionlimit(5000); sys.argv.append("x")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    globals()["kept"] = open("/dev/zero"); Counter.value += 1; counter.n = x; default.append(1)
    cached(x)
    return told
"""
# A thread at the import: the process cannot be forked.
THREAD = """\
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""


def metrics(made: MadeSweep, **how: Any) -> list[dict[str, Any]]:
    """The metrics of each case of a sweep that runs in one task."""
    made.plan(**how)
    made.run()
    ends = made.ends()
    assert {end["status"] for end in ends.values()} == {"complete"}, ends
    return [ends[index].get("metrics", {}) for index in sorted(ends)]


@pytest.mark.parametrize("runs", ["all", "packed", "none"])
def test_every_case_begins_as_the_first_one(tmp_path: Path, runs: str) -> None:
    (tmp_path / "lines").write_text("1\n2\n3\n4\n5\n")
    first, *others = metrics(MadeSweep(tmp_path, grid(x=[1, 2, 3]), python=SHARED), runs=runs)
    assert first["line"] == "2\n"
    assert others == [first, first]


def test_a_shared_process_restores_most_state(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("1\n2\n3\n4\n5\n")
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3]), python=THREAD + SHARED)
    made.plan()
    with made.start() as task:
        _, said = task.communicate(timeout=60)
    first, *others = [end["metrics"] for _, end in sorted(made.ends().items())]
    # The position of a file, objects with descriptors, and objects that no global names.
    lost = {"line", "files", "object", "default"}
    kept = [{name: value for name, value in told.items() if name not in lost} for told in others]
    assert kept == [{name: value for name, value in first.items() if name not in lost}] * 2
    (why,) = [line for line in said.splitlines() if "share one process" in line]
    assert "thread 'Thread-1" in why
    assert "target.counter" in said


UNSEEDED = """\
import random
import numpy as np
rng, own = np.random.default_rng(), random.Random()
random.random(); np.random.rand()

def run(x):
    return {"rng": rng.random(), "own": own.random(), "python": random.random(),
            "numpy": np.random.rand()}
"""


@pytest.mark.parametrize("before", ["", THREAD])
def test_unseeded_random_numbers_differ_between_cases(tmp_path: Path, before: str) -> None:
    told = metrics(MadeSweep(tmp_path, grid(x=[1, 2, 3]), python=before + UNSEEDED))
    draws = [value for metrics in told for value in metrics.values()]
    assert len(set(draws)) == 12


def test_a_file_of_the_users_may_have_the_name_of_a_watched_module(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("def random(): return 4\n")
    (tmp_path / "secrets.py").write_text("")
    python = "import random, secrets\ndef run(x): return {'y': random.random()}\n"
    assert metrics(MadeSweep(tmp_path, grid(x=[1, 2]), python=python)) == [{"y": 4}] * 2


def test_an_import_that_forks_and_comes_back_runs_no_case_twice(tmp_path: Path) -> None:
    python = "import os\nos.fork()\ndef run(x): return {'x': x}\n"
    assert metrics(MadeSweep(tmp_path, grid(x=[1, 2]), python=python)) == [{"x": 1}, {"x": 2}]


def test_resources_are_those_of_one_case(tmp_path: Path) -> None:
    python = "def run(x):\n    if x == 0: sum(range(20_000_000)); bytearray(200_000_000)\n"
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan()
    made.run()
    large, small = (made.ends()[index] for index in range(2))
    assert large["max_rss_bytes"] > 200_000_000 > small["max_rss_bytes"]
    assert large["cpu_seconds"] > 10 * small["cpu_seconds"]


ENDINGS = """\
import atexit, concurrent.futures, multiprocessing, os, signal, subprocess, threading, time
from pathlib import Path

HERE = Path(__file__).parent
atexit.register(lambda: (HERE / "imports").touch())
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pool = concurrent.futures.ThreadPoolExecutor(1)
fork = multiprocessing.get_context("fork")  # the default of 3.14 imports this file once more

def later(name):
    time.sleep(0.1); (HERE / name).touch()

def square(x): return x * x

def run(how):
    if how == "thread": threading.Thread(target=later, args=(how,)).start()
    if how == "pool": pool.submit(later, how)
    if how == "atexit": atexit.register(later, how)
    if how == "process": fork.Process(target=later, args=(how,)).start()
    if how == "processes":
        with concurrent.futures.ProcessPoolExecutor(2, fork) as workers:
            return {"squares": list(workers.map(square, range(3)))}
    if how == "left":
        (HERE / how).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    if how == "last":
        # It was killed before this case began; it is gone when the kernel next runs it.
        until = time.monotonic() + 60
        while (state := state_of((HERE / "left").read_text())) not in "XZ":
            if time.monotonic() > until: break
            time.sleep(0.01)
        return {"left": state}

def state_of(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError): return "X"
"""


def test_a_case_ends_as_a_program_does(tmp_path: Path) -> None:
    """Its threads and processes are waited for, what it leaves behind is killed."""
    hows = ["thread", "pool", "atexit", "process", "processes", "left", "last"]
    made = MadeSweep(tmp_path, grid(how=hows), python=ENDINGS)
    told = metrics(made)
    for how in ("thread", "pool", "atexit", "process"):
        assert (tmp_path / how).exists(), how
    assert told[hows.index("processes")] == {"squares": [0, 1, 4]}
    assert told[-1]["left"] in "XZ"
    assert not (tmp_path / "imports").exists()


BLAS = """\
import numpy as np
a = np.ones((300, 300)); a @ a

def run(x):
    return {"sum": float((a @ a).sum())}
"""


def test_threads_that_support_fork_do_not_prevent_it(tmp_path: Path) -> None:
    """OpenBLAS ends its threads before a fork and starts anew."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=BLAS)
    made.plan()
    assert "cannot be forked" not in made.run(OPENBLAS_NUM_THREADS="2").stderr
    assert [end["metrics"] for end in made.ends().values()] == [{"sum": 300.0**3}] * 2


CONNECTED = """\
import os, socket, sys
server = socket.create_server(("localhost", 0))
client = socket.create_connection(server.getsockname())
def run(x): return {"pid": os.getpid()}
"""


def test_a_connection_that_the_import_opened_is_not_shared_by_forks(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=CONNECTED)
    made.plan()
    assert "a connection to" in made.run().stderr
    assert len({end["metrics"]["pid"] for end in made.ends().values()}) == 1


# --- what is not the case's own ------------------------------------------------------------------

STRAY = """\
import os

def run(x, log):
    log.text("before", "kept")
    if x == 1:
        for fd in [*range(3, 100), *map(int, os.listdir("/proc/self/fd"))]:
            if fd > 2:
                try: os.write(fd, b"garbage\\n")
                except OSError: pass
    if x == 2:
        return {"open": [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                         if os.path.exists(f"/proc/self/fd/{n}")]}
    log.text("after", str(x))
    return {"x": x}
"""


@pytest.mark.parametrize("before", ["", THREAD])
@pytest.mark.parametrize("runs", ["all", "packed", "failed", "none"])
def test_a_stray_write_costs_that_case_at_most(tmp_path: Path, runs: str, before: str) -> None:
    python = before + (STRAY.replace("log.text", "print") if runs == "none" else STRAY)
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2, 3]), python=python)
    made.plan(runs=runs)
    made.run()
    ends = made.ends()
    spoilt = ends.pop(1)
    assert {end["status"] for end in ends.values()} == {"complete"}
    if before:
        assert spoilt["error"]["type"] == "GarbledAnswer"
    elif runs in ("packed", "failed"):
        assert "not its own" in spoilt["error"]["message"]
    else:
        assert spoilt["status"] == "complete"
    for journal in made.directory.journal_dir(1).rglob("*.jsonl"):
        assert b"garbage" not in journal.read_bytes()
    found = ends[2]["metrics"]["open"]
    assert not [path for path in found if "/journal/" in path or path.endswith(".tar")]
