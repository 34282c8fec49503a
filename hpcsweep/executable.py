"""Check whether the kernel can start a file, from its first bytes, without starting it.

`execve` reports "No such file or directory" for an existing script whose interpreter is missing,
and does not mention the carriage return that Windows left at the end of its first line.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

# Bytes that the kernel reads to identify a file (since 5.1), and levels of interpreters.
_HEAD_BYTES = 256
_LEVELS = 5
# Bytes of a script that are checked for its line ends.
_SCRIPT_BYTES = 1 << 16
_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")
# Programs that run the script that is their first argument; and options of Python without a value.
# node is none of them: it finds sim.js by the name sim, and has subcommands.
_RUNS_SCRIPTS = re.compile(r"(python|Rscript|perl|julia|ruby)[0-9.]*")
_PYTHON_FLAGS = re.compile(r"-[bBdEIOPqsSuvx]+")
_UNIX_ENDS = "Save it with Unix line ends: dos2unix, or sed -i 's/\\r$//'."
_BUILD = "Build it here, for the machines that run it."
# Machine, class and byte order, which every ELF file has at the same offsets.
_ELF = b"\x7fELF"
_ELF_SAME = (slice(4, 6), slice(18, 20))
_PT_INTERP = 3
_FOREIGN = {
    b"MZ": "Windows",
    b"\xcf\xfa\xed\xfe": "macOS",
    b"\xce\xfa\xed\xfe": "macOS",
    b"\xca\xfe\xba\xbe": "macOS",
}
# Binary formats that the kernel passes to an emulator of another machine.
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def problem(path: Path, level: int = 0) -> tuple[str, str] | None:
    """Why an executable file cannot be started, and the next step; None if no problem is found.

    Names are searched on PATH, relative paths from the working directory, as `execve` and `env` do.
    An unreadable file counts as fine: it may still be executable.
    """
    head = _head(path)
    if head is None:
        return None
    if head.startswith(b"#!"):
        return _script_problem(path, head[2:], level)
    if head.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        what = "begins with a byte order mark, behind which the kernel sees no #!"
        return f"{path} {what}", "Save it as UTF-8 without one."
    if head.startswith(_ELF):
        return _elf_problem(path, head)
    if _has_binary_formats():
        return None
    for magic, system in _FOREIGN.items():
        if head.startswith(magic):
            return f"{path} is a program for {system}", _BUILD
    what = "is empty" if not head else "has no #! line and is not a program"
    return f"{path} {what}", "Write its interpreter into its first line: #!/bin/bash."


def named_problem(argv: Sequence[str]) -> tuple[str, str] | None:
    """Like `problem` for a command: checks its program, and the script that it is given."""
    path = shutil.which(argv[0])
    why = None if path is None else problem(Path(path)) or _missing_script(argv)
    if why is None and len(argv) > 1 and Path(argv[0]).name in _SHELLS:
        return line_ends(Path(argv[1]), argv[0])
    # Behind srun, mpirun or a container, the interpreter may be on another file system.
    others = (Path(word) for word in argv[1:] if "/" in word and why is None)
    return why or next(filter(None, map(_windows_line_ends, others)), None)


def _missing_script(argv: Sequence[str]) -> tuple[str, str] | None:
    """Whether the interpreter of a command is given a script that is not there.

    An absolute path may exist on the nodes alone.
    """
    name = Path(argv[0]).name
    if name not in _SHELLS and not _RUNS_SCRIPTS.fullmatch(name):
        return None
    is_flag = _PYTHON_FLAGS.fullmatch if name.startswith("python") else lambda _: False
    script = next((word for word in argv[1:] if not is_flag(word)), "-")
    # `bash +e`, and `julia +1.10` of juliaup, are options, too.
    if script.startswith(("-", "+", "/")) or {"{", "}"} & {*script} or os.path.exists(script):  # noqa: PTH110  # never raises
        return None
    # A shell searches PATH, too.
    if name in _SHELLS and shutil.which(script) is not None:
        return None
    next_step = f"Check its path: relative ones start at {Path.cwd()}."
    return f"{name} is given the script {script!r}, which is not there", next_step


def _windows_line_ends(path: Path) -> tuple[str, str] | None:
    line, _, _ = (_head(path) or b"").partition(b"\n")
    if not line.startswith(b"#!") or not line.endswith(b"\r"):
        return None
    interpreter = line[2:].decode(errors="replace").strip(" ")
    what = f"has Windows line ends: the kernel looks for the interpreter {interpreter!r}"
    return f"{path} {what}", _UNIX_ENDS


def _head(path: Path, count: int = _HEAD_BYTES) -> bytes | None:
    """The first bytes of a regular file. Skips FIFOs, which would block, and devices."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            return stream.read(count)
    except (OSError, ValueError):
        return None


def _script_problem(path: Path, rest: bytes, level: int) -> tuple[str, str] | None:
    line, end, _ = rest.partition(b"\n")
    if not end and len(rest) == _HEAD_BYTES - 2:
        what = f"has a first line of more than {_HEAD_BYTES} bytes, which the kernel does not read"
        return f"{path} {what}", "Shorten it, or name a link to the interpreter."
    if line.endswith(b"\r"):
        return _windows_line_ends(path)
    name, _, argument = line.decode(errors="replace").strip(" \t").partition(" ")
    if not name:
        return f"{path} has an empty #! line", "Write its interpreter: #!/bin/bash."
    interpreter = Path(name)
    if not _is_executable(interpreter):
        what = f"names the interpreter {name}, which is not there"
        return f"{path} {what}", "Correct its first line, e.g. #!/usr/bin/env python3."
    if interpreter.name == "env":
        return _env_problem(path, argument.strip(" \t"))
    if interpreter.name in _SHELLS:
        return line_ends(path, name)
    return problem(interpreter, level + 1) if level < _LEVELS else None


def _env_problem(path: Path, argument: str) -> tuple[str, str] | None:
    """What `env` searches on PATH: the rest of the line as one name, or with -S its first word."""
    words = argument.split()
    if words and words[0].startswith("-S"):
        words[0] = words[0].removeprefix("-S")
        words = [word for word in words if word and "=" not in word and word[0] != "-"]
        argument = words[0] if words else ""
    if not argument or argument.startswith("-") or "=" in argument:
        return None
    if shutil.which(argument) is not None:
        name = Path(argument).name
        return line_ends(path, name) if name in _SHELLS else None
    what = f"names the interpreter {argument!r}, which is not on PATH"
    split = "Write #!/usr/bin/env -S for an interpreter with arguments." if " " in argument else ""
    return f"{path} {what}", split or "Correct its first line, or load it in `setup:`."


def line_ends(path: Path, shell: str) -> tuple[str, str] | None:
    """Why a shell cannot run a script: a CR at a line's end becomes part of the command."""
    data = _head(path, _SCRIPT_BYTES) or b""
    if 2 * data.count(b"\r\n") <= data.count(b"\n") or b"\0" in data:
        return None
    return f"{path} has Windows line ends, which {shell} takes for text", _UNIX_ENDS


def _is_executable(path: Path) -> bool:
    return shutil.which(path if path.is_absolute() else f"./{path}") is not None


def _elf_problem(path: Path, head: bytes) -> tuple[str, str] | None:
    """Check that a binary is for this interpreter's machine, and that its loader exists."""
    own = _head(Path(sys.executable)) or b""
    if not own.startswith(_ELF) or _has_binary_formats():
        return None
    if any(head[part] != own[part] for part in _ELF_SAME):
        # 32-bit programs of the same family run on most machines.
        if own[4] == 2 and head[4] == 1 and head[5] == own[5]:
            return None
        return f"{path} is a program for another kind of machine", _BUILD
    loader = _loader(path, head)
    if loader is None or loader.exists():
        return None
    return f"{path} needs the loader {loader}, which is not there", _BUILD


def _loader(path: Path, head: bytes) -> Path | None:
    """The loader of a dynamic 64-bit ELF binary; None if it needs none, or it is not found."""
    order = "<" if head[5] == 1 else ">"
    try:
        (at,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        with path.open("rb") as stream:
            for number in range(count if head[4] == 2 else 0):
                stream.seek(at + number * size)
                kind, _, offset, _, _, length = struct.unpack(f"{order}IIQQQQ", stream.read(40))
                if kind == _PT_INTERP:
                    stream.seek(offset)
                    return Path(stream.read(min(length, 4096)).rstrip(b"\0").decode())
    except (OSError, ValueError, struct.error):
        return None
    return None


def _has_binary_formats() -> bool:
    try:
        return any(entry.name not in ("register", "status") for entry in _BINFMT.iterdir())
    except OSError:
        return False
