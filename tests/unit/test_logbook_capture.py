"""What a run prints, kept in its directory: by Python, by libraries, by programs that it starts."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpcsweep import Experiment, Logbook
from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import names

PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from hpcsweep import Logbook
base = sys.argv[1]
def everything(what):
    print("print", what)
    print("error", what, file=sys.stderr)
    os.write(1, b"write\\n")
    os.system("echo shell; echo shell error >&2")
{body}
print("after")
sys.stderr.write("after\\n")
"""


def ran(tmp_path: Path, body: str, code: int = 0) -> tuple[str, str]:
    """What a program that does this prints itself."""
    root = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", PROGRAM.format(root=root, body=body), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def kept(path: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in path.glob("std*.txt")}


def both(what: str) -> dict[str, str]:
    return {
        "stdout.txt": f"print {what}\nwrite\nshell\n",
        "stderr.txt": f"error {what}\nshell error\n",
    }


def test_the_output_is_captured_and_streams_are_restored(tmp_path: Path) -> None:
    body = "with Logbook('a', base, capture=True): everything('a')"
    assert ran(tmp_path, body) == ("after\n", "after\n")
    assert kept(tmp_path / "log_a") == both("a")


def test_nothing_is_captured_by_default(tmp_path: Path) -> None:
    out, err = ran(tmp_path, "with Logbook('a', base): everything('a')")
    assert ("shell\n" in out, "shell error\n" in err) == (True, True)
    assert kept(tmp_path / "log_a") == {}


def test_an_exception_restores_the_streams(tmp_path: Path) -> None:
    body = "with Logbook('a', base, capture=True): everything('a'); raise SystemExit('told')"
    out, err = ran(tmp_path, body, code=1)
    assert (out, err) == ("", "told\n")
    assert kept(tmp_path / "log_a") == both("a")


def test_runs_in_runs(tmp_path: Path) -> None:
    body = (
        "with Logbook('a', base, capture=True):\n"
        "    with Logbook('b', base, capture=True): everything('b')\n"
        "    with Logbook('c', base): pass\n"
        "    everything('a')"
    )
    assert ran(tmp_path, body) == ("after\n", "after\n")
    assert kept(tmp_path / "log_a") == both("a")
    assert kept(tmp_path / "log_b") == both("b")


def test_a_signal_loses_nothing(tmp_path: Path) -> None:
    body = "with Logbook('a', base, capture=True):\n    everything('a'); os.kill(os.getpid(), 15)"
    ran(tmp_path, body, code=-signal.SIGTERM)
    assert kept(tmp_path / "log_a") == both("a")


@pytest.mark.parametrize("end", ["os._exit(9)", "os.kill(os.getpid(), 9)"])
def test_a_crash_keeps_every_line_that_was_printed(tmp_path: Path, end: str) -> None:
    body = f"with Logbook('a', base, capture=True): print('last words'); {end}"
    ran(tmp_path, body, code=9 if "_exit" in end else -signal.SIGKILL)
    assert kept(tmp_path / "log_a")["stdout.txt"] == "last words\n"


def test_buffering_is_changed_inside_the_block_only(tmp_path: Path) -> None:
    body = (
        "before = sys.stdout.line_buffering\n"
        "with Logbook('a', base, capture=True): inside = sys.stdout.line_buffering\n"
        "assert (before, inside, sys.stdout.line_buffering) == (False, True, False)"
    )
    ran(tmp_path, body)


def test_a_fork_that_leaves_the_block_prints_elsewhere(tmp_path: Path) -> None:
    body = (
        "log = Logbook('a', base, capture=True)\n"
        "with log:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.write(1, b'child\\n'); log.__exit__(None, None, None)\n"
        "        os.write(1, b'out of it\\n'); os._exit(0)\n"
        "    os.waitpid(pid, 0)"
    )
    assert ran(tmp_path, body)[0] == "out of it\nafter\n"
    assert kept(tmp_path / "log_a") == {"stdout.txt": "child\n"}


def test_a_fork_warns_of_the_threads_of_the_user_alone(tmp_path: Path) -> None:
    """Python warns of a fork beside a thread since 3.12: the heartbeat is none of the user's."""
    body = (
        "import threading\n"
        "def fork():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "with Logbook('a', base, capture=True):\n"
        "    for _ in range(20): fork()\n"
        "with Logbook('b', base, capture=True):\n"
        "    fork()\n"
        "    event = threading.Event()\n"
        "    threading.Thread(target=event.wait).start()\n"
        "    fork()\n"
        "    event.set()"
    )
    assert ran(tmp_path, body)[0] == "after\n"
    assert kept(tmp_path / "log_a") == {}
    warned = kept(tmp_path / "log_b").get("stderr.txt", "").count("DeprecationWarning")
    assert warned == (sys.version_info >= (3, 12))


def test_without_streams_it_works(tmp_path: Path) -> None:
    body = (
        "os.close(1); os.close(2)\n"
        "with Logbook('a', base, capture=True): os.system('echo shell')\n"
        "assert Logbook('b', base).status == 'initialized'\n"
        "os._exit(0)"
    )
    ran(tmp_path, body)
    assert kept(tmp_path / "log_a") == {"stdout.txt": "shell\n"}


def test_streams_of_a_notebook_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sys.stdout is no file."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    descriptors = names(Path("/proc/self/fd"))
    for number in range(3):
        with Logbook(str(number), tmp_path, capture=True):
            sys.stdout.write("inside\n")
        sys.stdout.write("outside\n")
        assert sys.stdout is shown
    assert shown.getvalue() == "outside\n" * 3
    assert kept(tmp_path / "log_2") == {"stdout.txt": "inside\n"}
    assert names(Path("/proc/self/fd")) == descriptors


def test_no_empty_file_stays(tmp_path: Path) -> None:
    with Logbook("a", tmp_path, capture=True) as log:
        pass
    assert names(log.path) == ["log.txt", "metadata.json"]


def test_two_threads_cannot_both_have_the_output(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def other() -> None:
        try:
            with Logbook("b", tmp_path, capture=True):
                pass
        except InputError as error:
            errors.append(error)

    with Logbook("a", tmp_path, capture=True) as log:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        os.write(1, b"still here\n")
    assert "another thread" in str(errors[0])
    assert kept(log.path) == {"stdout.txt": "still here\n"}


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, capture=True)
    (log.path / "stderr.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SweepError, match="cannot be written"), log:
        pass
    os.write(2, b"")
    assert not (tmp_path / "elsewhere").exists()
    with Logbook("b", tmp_path, capture=True):
        os.write(1, b"x")
    assert kept(tmp_path / "log_b") == {"stdout.txt": "x"}


def test_runs_of_an_experiment(tmp_path: Path) -> None:
    exp = Experiment("e", tmp_path, capture=True)
    log = exp.add(x=1)
    assert log is not None
    with log:
        subprocess.run(["echo", "hello"], check=True)
    assert kept(log.path) == {"stdout.txt": "hello\n"}
