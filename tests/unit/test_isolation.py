"""`isolation: task`: cases share one process; some state is still reset for each."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import ManifestError
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

SHARED = """\
import os, random, resource, signal, sys
random.seed(7)
models = {}

def run(x):
    found = {
        "pid": os.getpid(), "shared": len(models), "cwd": os.getcwd(),
        "env": os.environ.get("COUNT"),
        "handler": signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
        "umask": os.umask(0o77), "path": len(sys.path), "random": random.random(),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
    models[x] = object()
    os.environ["COUNT"] = str(x); os.chdir("/"); sys.path.append("x")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    sys.stdout.close(); os.close(2)
    return found
"""


def ends(made: MadeSweep, **how: Any) -> list[dict[str, Any]]:
    """The records of the ends of a sweep that runs in one task, by index."""
    made.plan(**how)
    made.run()
    return [end for _, end in sorted(made.ends().items())]


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_cases_share_their_modules_and_nothing_else(tmp_path: Path, runs: str) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3]), python=SHARED, isolation="task")
    found = [end["metrics"] for end in ends(made, runs=runs)]
    assert len({metrics.pop("pid") for metrics in found}) == 1
    assert [metrics.pop("shared") for metrics in found] == [0, 1, 2]
    assert found[0]["cwd"] == str(tmp_path)
    assert found == [found[0]] * 3


def test_by_default_every_case_has_its_own_process(tmp_path: Path) -> None:
    found = [end["metrics"] for end in ends(MadeSweep(tmp_path, grid(x=[1, 2]), python=SHARED))]
    assert len({metrics["pid"] for metrics in found}) == 2
    assert [metrics["shared"] for metrics in found] == [0, 0]


def test_a_crash_and_a_timeout_cost_one_case_and_the_process(tmp_path: Path) -> None:
    python = """\
import os, signal, time
done = []
def run(x):
    if x == 2: os.kill(os.getpid(), signal.SIGSEGV)
    if x == 4:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: time.sleep(1)
    done.append(x)
    return {"pid": os.getpid(), "done": done}
"""
    source = grid(x=[1, 2, 3, 4, 5])
    made = MadeSweep(tmp_path, source, python=python, isolation="task", case_timeout_s=3.0)
    first, crashed, third, hung, last = ends(made)
    assert (crashed["reason"], crashed["error"]["message"]) == (
        "signal",
        f"died of {signal.SIGSEGV.name}",
    )
    assert hung["reason"] == "case_timeout"
    assert [end["metrics"]["done"] for end in (first, third, last)] == [[1], [3], [5]]
    assert len({end["metrics"]["pid"] for end in (first, third, last)}) == 3


def test_the_log_says_nothing_of_a_process_that_is_shared_on_purpose(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=SHARED, isolation="task")
    made.plan()
    assert made.run().stderr == ""


def test_a_command_has_no_process_to_share(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: s\ncommand: [echo, '{x}']\nisolation: task\nsource: {grid: {x: [1]}}\n")
    with pytest.raises(ManifestError, match="each case of a command is a program"):
        load_manifest(path)


@pytest.mark.parametrize("word", ["process", "Task", "none", "3"])
def test_another_word_is_a_mistake(tmp_path: Path, word: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"name: s\ntarget: t.py:run\nisolation: {word}\nsource: {{grid: {{x: [1]}}}}\n")
    with pytest.raises(ManifestError, match="isolation"):
        load_manifest(path)


def test_the_key_changes_no_fingerprint_of_a_manifest_without_it(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    text = "name: s\ntarget: t.py:run\nsource: {grid: {x: [1]}}\n"
    (tmp_path / "t.py").write_text("def run(x): pass\n")
    path.write_text(text)
    without, _ = load_manifest(path)
    path.write_text(f"{text}isolation: case\n")
    given, _ = load_manifest(path)
    path.write_text(f"{text}isolation: task\n")
    shared, _ = load_manifest(path)
    assert without.fingerprint == given.fingerprint != shared.fingerprint
