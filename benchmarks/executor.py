"""What a call of a function costs by an executor: hpcsweep, and what people use in its place.

    python benchmarks/executor.py [PYTHON]

PYTHON has the peers: `pip install submitit executorlib` (default: the one that runs this); one that
is missing is left out. All run in turns; a figure is that of many calls less the time of one.

    python benchmarks/executor.py later

measures what it costs to send a call behind many others: the processor time of `submit`, without
that of the programs that it starts, and the bytes of the manifest's new version.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import measuring

from hpcsweep import emulator

ROUNDS = 3
# The directory for the state of programs, below that of a measurement.
STATE = "state"
# Seconds of a call below which a figure says nothing.
LEAST_S = 1e-3
# Calls of a way that starts no process for each, and of one that does.
MANY, FEW = 200, 20
WORK = "def twice(x):\n    return 2 * x\n"
CHECK = "\nassert list(found) == [2 * x for x in range(n)]\n"
HEAD = "import sys\nfrom work import twice\nn = int(sys.argv[1])\n"
OURS = """\
import hpcsweep as hs
if __name__ == "__main__":
    with hs.Executor(cluster="emulated", isolation=sys.argv[2], max_workers=2) as pool:
        found = list(pool.map(twice, range(n), chunksize=max(2, n // 2)))
"""
# The calls before it are frozen with a first one, and not run.
LATER = """\
import sys, time
from pathlib import Path
from hpcsweep.executor.calls import CallPickles, CallSweep, manifest_keys
calls = CallSweep("later", Path.cwd(), manifest_keys({}), {"cluster": "emulated"})
calls.created()
took = []
for more in [int(sys.argv[1]), *[1] * 7]:
    calls.load()
    for number in range(more):
        call = CallPickles(function="f", code=b"c", arguments=b"%d" % (number % 10))
        index = calls.add(call, None)
    begun = time.process_time()
    calls.submit([index], None, throttle=0, rerun=None)
    took.append(time.process_time() - begun)
versions = sorted(Path("outputs/later/manifests").iterdir(), key=lambda path: path.stat().st_mtime)
size = sum(path.stat().st_size for path in versions[-1].iterdir())
print(sorted(took[1:])[3], size)
"""
LATER_CALLS = (10, 1_000, 10_000)
POOL = """\
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    found = list(pool.map(twice, range(n)))
"""
SUBMITIT = """\
import submitit
executor = submitit.LocalExecutor("logs")
executor.update_parameters(timeout_min=60)
found = [job.result() for job in executor.map_array(twice, range(n))]
"""
EXECUTORLIB = """\
from executorlib import SingleNodeExecutor
with SingleNodeExecutor(max_workers=2, block_allocation=sys.argv[2] == "block") as executor:
    calls = [executor.submit(twice, x) for x in range(n)]
    found = [call.result() for call in calls]
"""


class Way(NamedTuple):
    """One way to call functions."""

    name: str
    # Where a call runs, and what is left of it.
    process: str
    record: str
    # Enough for seconds.
    calls: int
    run: Callable[[int], None]


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    if arguments == ["later"]:
        _show_later()
        return
    peers = arguments[0] if arguments else sys.executable
    with _own_directory() as root:
        (root / "work.py").write_text(WORK)
        ways = _ways(root, peers)
        actions = [
            partial(measuring.seconds, partial(way.run, count))
            for way in ways
            for count in (1, way.calls)
        ]
        took = measuring.medians(ROUNDS, *actions)
    rows = []
    for way, first, many in zip(ways, took[::2], took[1::2], strict=True):
        each = (many - first) / (way.calls - 1)
        further = f"{each * 1e3:.1f} ms" if each >= LEAST_S else f"under {LEAST_S * 1e3:g} ms"
        rows.append((way.name, way.process, way.record, f"{first:.2f} s", further))
    print(f"{measuring.machine()}; median of {ROUNDS} interleaved rounds")
    measuring.show(
        "What a call costs by an executor",
        ("", "a process for", "what is left of a call", "one call", "each further call"),
        rows,
    )


def _show_later() -> None:
    """Measure and print what it costs to send a call behind many others."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    rows = []
    for count in LATER_CALLS:
        with _own_directory() as directory:
            argv = [sys.executable, "-c", LATER, str(count)]
            answer = subprocess.run(
                argv,
                cwd=directory,
                env=env | _own_state(directory),
                check=True,
                capture_output=True,
                text=True,
            )
        took, size = answer.stdout.split()
        rows.append((f"{count:,}", f"{float(took):.2f} s", f"{int(size):,}"))
    print(f"{measuring.machine()}; median of 7")
    measuring.show(
        "Sending one call behind others",
        ("calls before it", "processor time", "bytes of its version"),
        rows,
    )


@contextlib.contextmanager
def _own_directory() -> Iterator[Path]:
    """A directory whose emulated cluster ends with it; the user's own one is not used."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as directory:
        root = Path(directory)
        try:
            yield root
        finally:
            emulator.stop(root / STATE / "hpcsweep/emulator")


def _own_state(root: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(root / STATE)}


def _ways(root: Path, peers: str) -> list[Way]:
    own = sys.executable
    record = "journal, logs, answer"
    return [
        Way(
            "hpcsweep, `isolation: case`",
            "each call",
            record,
            500,
            _runner(root, own, OURS, "case"),
        ),
        Way(
            "hpcsweep, `isolation: task`",
            "each task",
            record,
            500,
            _runner(root, own, OURS, "task"),
        ),
        Way("ProcessPoolExecutor", "all calls", "nothing", 500, _runner(root, own, POOL)),
        *_others(root, peers),
    ]


def _others(root: Path, python: str) -> list[Way]:
    ways = []
    if _has(python, "submitit"):
        run = _runner(root, python, SUBMITIT)
        ways.append(Way("submitit, local", "each call", "pickles, logs", FEW, run))
    if _has(python, "executorlib"):
        run = _runner(root, python, EXECUTORLIB, "call")
        ways.append(Way("executorlib, single node", "each call", "nothing", FEW, run))
        run = _runner(root, python, EXECUTORLIB, "block")
        ways.append(Way("executorlib, `block_allocation`", "all calls", "nothing", MANY, run))
    return ways


def _has(python: str, module: str) -> bool:
    return (
        subprocess.run([python, "-c", f"import {module}"], stderr=-3, check=False).returncode == 0
    )


def _runner(root: Path, python: str, program: str, *arguments: str) -> Callable[[int], None]:
    here = str(Path(__file__).parents[1])
    paths = [str(root), here] if program is OURS else [str(root)]
    env = os.environ | _own_state(root) | {"PYTHONPATH": os.pathsep.join(paths)}

    def run(count: int) -> None:
        argv = [python, "-c", HEAD + program + CHECK, str(count), *arguments]
        with tempfile.TemporaryDirectory(dir=root) as directory:
            subprocess.run(argv, cwd=directory, env=env, check=True)

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
