"""Whether a file can be started follows from its first bytes, as the kernel decides it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep import executable

OWN = Path(sys.executable).resolve().read_bytes()
AARCH64, X86_64 = 183, 62
OTHER = X86_64 if int.from_bytes(OWN[18:20], "little") == AARCH64 else AARCH64
FOREIGN = OWN[:18] + OTHER.to_bytes(2, "little") + OWN[20:4096]


def without_loader() -> bytes:
    """A copy of a small binary of this machine whose loader is not there."""
    data = Path(shutil.which("true") or "").read_bytes()
    at = data.index(b"/ld-")
    return data[: at + 1] + b"xx" + data[at + 3 :]


BAD = {
    "crlf": (b"#!/bin/bash\r\necho\r\n", "Windows line ends: the kernel looks for", "dos2unix"),
    "crlf env": (b"#!/usr/bin/env bash\r\necho\r\n", "'/usr/bin/env bash\\r'", "dos2unix"),
    "crlf below": (
        b"#!/bin/sh\nif true\r\nthen\r\necho\r\nfi\r\n",
        "which /bin/sh takes for",
        "dos2",
    ),
    "bom": (b"\xef\xbb\xbf#!/bin/sh\ntrue\n", "byte order mark", "without one"),
    "utf-16": ("\ufeff#!/bin/sh\n".encode("utf-16-le"), "byte order mark", "UTF-8"),
    "missing": (
        b"#!/opt/nope/python\n",
        "names the interpreter /opt/nope/python, which is",
        "first",
    ),
    "misspelt": (
        b"#!/usr/bin/env pythn\n",
        "names the interpreter 'pythn', which is not on",
        "setup",
    ),
    "argument": (b"#!/usr/bin/env sh -e\n", "names the interpreter 'sh -e'", "env -S"),
    "misspelt -S": (b"#!/usr/bin/env -S X=1 pythn -u\n", "names the interpreter 'pythn'", "first"),
    "no line": (b"echo hello\n", "has no #! line and is not a program", "#!/bin/bash"),
    "empty": (b"", "is empty", "#!/bin/bash"),
    "empty line": (b"#! \ntrue\n", "has an empty #! line", "#!/bin/bash"),
    "long": (b"#!/" + b"x" * 300 + b"\n", "first line of more than 256 bytes", "Shorten"),
    "foreign": (FOREIGN, "a program for another kind of machine", "Build it"),
    "loader": (without_loader(), "which is not there", "Build it"),
    "windows": (b"MZ\x90\0" + b"\0" * 100, "is a program for Windows", "Build it"),
}
GOOD = {
    "sh": b"#!/bin/sh\ntrue\n",
    "blanks": b"#! /bin/sh -e\ntrue\n",
    "env": b"#!/usr/bin/env sh\ntrue\n",
    "env -S": b"#!/usr/bin/env -S sh -e\ntrue\n",
    "one line": b"#!/bin/sh",
    "python with crlf": f"#!{sys.executable}\n".encode() + b"pass\r\n" * 9,
    "a CR in it": b"#!/bin/sh\ntrue 'a\r\n'\ntrue\ntrue\n",
    "binary": Path(shutil.which("true") or "").read_bytes(),
}


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An executable file with these bytes."""
    path = tmp_path / "program"
    path.write_bytes(request.param)
    path.chmod(0o755)
    return path


def started(path: Path) -> bool:
    """Whether the kernel starts it, and it ends well."""
    try:
        return not subprocess.run([path], capture_output=True, check=False).returncode
    except OSError:
        return False


@pytest.mark.parametrize(
    ("program", "words", "next_step"), BAD.values(), ids=BAD, indirect=["program"]
)
def test_a_program_that_cannot_start_is_reported(program: Path, words: str, next_step: str) -> None:
    assert not started(program)
    why = executable.problem(program)
    assert why is not None
    assert words in why[0]
    assert str(program) in why[0]
    assert next_step in why[1]


@pytest.mark.parametrize("program", GOOD.values(), ids=GOOD, indirect=True)
def test_startable_programs_are_accepted(program: Path) -> None:
    assert started(program)
    assert executable.problem(program) is None


def test_an_interpreter_that_is_a_script(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    outer.write_text(f"#!{inner}\n")
    inner.write_text("#!/bin/sh\ntrue\n")
    for path in (outer, inner):
        path.chmod(0o755)
    assert started(outer)
    assert executable.problem(outer) is None
    inner.write_text("#!/bin/sh\r\ntrue\r\n")
    assert not started(outer)
    assert "Windows line ends" in (executable.problem(outer) or ("",))[0]


def test_a_script_that_a_shell_is_given(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"if true\r\nthen echo\r\nfi\r\n")
    argv = ["bash", str(script), "{x}"]
    assert "Windows line ends, which bash takes" in (executable.named_problem(argv) or ("",))[0]
    script.write_bytes(script.read_bytes().replace(b"\r", b""))
    assert executable.named_problem(argv) is None
    assert executable.named_problem(["bash", "-c", "echo\r\n"]) is None


@pytest.mark.parametrize(
    ("argv", "is_missing"),
    [
        (["python3", "sim.py", "{x}"], True),
        (["python", "-u", "src/sim.py"], True),
        (["bash", "sim.sh"], True),
        (["Rscript", "sim.R"], True),
        (["python3", "here.py"], False),
        (["python3", "-c", "pass"], False),
        (["python3", "-m", "sim"], False),
        (["python3", "{script}"], False),
        (["python3", "/node/sim.py"], False),
        (["python3", "-"], False),
        (["bash", "true"], False),  # on PATH
        (["bash", "+e", "sim.sh"], False),
        (["julia", "sim.jl"], True),
        (["julia", "+1.10", "sim.jl"], False),
        (["node", "here"], False),  # here.js
        (["bash", "a" * 5000], True),
        (["echo", "sim.py"], False),
    ],
)
def test_a_script_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], *, is_missing: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here.py", "here.js", "Rscript", "python", "julia", "node"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    why = executable.named_problem(argv)
    assert bool(why) == is_missing
    if why:
        assert "which is not there" in why[0]
        assert str(tmp_path) in why[1]


def test_a_script_behind_another_program(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/bash\r\ntrue\r\n")
    argv = ["env", "srun", "-n1", str(script)]
    assert "Windows line ends" in (executable.named_problem(argv) or ("",))[0]
    script.write_bytes(b"#!/in/the/container\ntrue\n")
    assert executable.named_problem(argv) is None


def test_files_that_cannot_be_read_are_not_judged(tmp_path: Path) -> None:
    assert executable.problem(tmp_path) is None
    assert executable.problem(tmp_path / "nope") is None
    assert executable.problem(Path("a\0b")) is None
    os.mkfifo(tmp_path / "fifo")  # nobody writes to it: whoever read it would wait
    assert executable.named_problem(["sh", str(tmp_path / "fifo"), "/dev/zero"]) is None
