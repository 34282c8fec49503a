"""Provenance: the code, host, Python and packages that made a result; looked up once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from hpcsweep.errors import SweepError
from hpcsweep.files import json_bytes, names, replace

FORMAT = 1
# Limits of the kept diff, in bytes of whole lines, and of the list of changed names.
DIFF_BYTES_MAX = 1 << 20
UNTRACKED_MAX = 100
# Time limit of one git command, in seconds.
GIT_S = 5.0
_GIT = (
    *("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"),
    *("-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"),
)
# Untracked directories as one name: a listing of a million results would take too long.
_OTHERS = ("ls-files", "--others", "--exclude-standard", "--directory", "--full-name")
_DIFF = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative")


def provenance(
    directory: Path, installed: list[str] | None = None, python: dict[str, str] | None = None
) -> dict[str, Any]:
    """The provenance of a result that the code in `directory` makes.

    `installed` and `python` are in the form of `packages` and `this_python`; None means those of
    this process.
    """
    system = os.uname()
    if installed is None:
        installed = packages()
    return {
        "format": FORMAT,
        "host": system.nodename,
        "system": f"{system.sysname} {system.release} {system.machine}",
        "python": python or this_python(),
        "packages_digest": packages_digest(installed),
        "packages": installed,
        "git": _git(directory),
    }


def this_python() -> dict[str, str]:
    """The interpreter of this process."""
    return {"version": python_version(), "executable": sys.executable}


def python_version() -> str:
    """The version of this interpreter: `3.11.2`."""
    return sys.version.partition(" ")[0]


def packages() -> list[str]:
    """Installed packages, `name version`, sorted; read from the names of metadata directories.

    Lists each directory on the path once, without the standard library's.
    """
    own = os.path.dirname(os.__file__)  # noqa: PTH120  # a task starts with few modules
    titles: set[str] = set()
    for directory in dict.fromkeys(sys.path):
        if not directory or directory.endswith(".zip") or directory.startswith(f"{own}/lib-"):
            continue
        with contextlib.suppress(SweepError):  # unreadable
            for name in names(Path(directory)) if directory != own else ():
                stem, _, kind = name.rpartition(".")
                if kind in ("dist-info", "egg-info"):
                    title, _, version = stem.partition("-")
                    titles.add(f"{title} {version.partition('-')[0]}".rstrip())
    return sorted(titles)


def packages_digest(installed: list[str]) -> str:
    """16 hex digits over the names and versions of packages."""
    return hashlib.sha256("\n".join(installed).encode(errors="replace")).hexdigest()[:16]


# --- for a process without a submission ----------------------------------------------------------


def save_provenance(base: Path, directory: Path | None = None) -> str:
    """Save this process's provenance beside its runs; returns its path relative to `base`.

    `directory` is that of the code; None means the program's. *Writes*
    `<base>/.provenance.<digest>.json`, once per content. *Raises* SweepError.
    """
    name, data = of_this_process(directory)
    if not os.path.exists(f"{base}/{name}"):  # noqa: PTH110  # once per run: as quick as it gets
        replace(base / name, data)
    return name


@cache
def of_this_process(directory: Path | None = None) -> tuple[str, bytes]:
    """Name and content of the file that `save_provenance` writes; cached."""
    data = json_bytes(provenance(directory or _program_directory()))
    return f".provenance.{hashlib.sha256(data).hexdigest()[:16]}.json", data


def _program_directory() -> Path:
    """The directory of the running script; without one (notebook, prompt) the working directory."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).absolute().parent if script else Path.cwd()


# --- git -----------------------------------------------------------------------------------------


def tracked_files(directory: Path) -> list[str]:
    """The files below a directory that git and its submodules track, relative to it."""
    if not _is_in_repository(directory):
        return []
    try:
        return _run_git(directory, "ls-files", "-z", "--recurse-submodules")[0].split("\0")[:-1]
    except _NoAnswerError:
        return []


def _git(directory: Path) -> dict[str, Any] | None:
    """The commit and the changes since; None if the directory is not in a repository."""
    directory = directory.resolve()
    if not _is_in_repository(directory):
        return None
    from hpcsweep.redact import redact  # noqa: PLC0415  # a task imports this module, too

    facts: dict[str, Any] = {}
    try:
        facts["commit"] = _run_git(directory, "rev-parse", "--verify", "HEAD")[0].strip()
        diff, size = _run_git(directory, *_DIFF)
        # The digest of the whole diff, which may be longer than the kept part.
        facts |= {"dirty": size > 0, "diff": redact(diff), "diff_bytes": size}
        untracked = _run_git(directory, *_OTHERS)[0].splitlines()
        facts |= {"untracked": untracked[:UNTRACKED_MAX], "untracked_count": len(untracked)}
    except _NoAnswerError as error:  # keep what is known
        facts["problem"] = redact(str(error))
    return facts


def _is_in_repository(directory: Path) -> bool:
    return any((parent / ".git").exists() for parent in (directory, *directory.parents))


class _NoAnswerError(Exception):
    """Git gave no answer; the text says why."""


def _run_git(directory: Path, *question: str) -> tuple[str, int]:
    """The output of git, cut to whole lines within the limit, and its full size in bytes."""
    import subprocess  # noqa: PLC0415  # a task imports this module, too, and never asks
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryFile() as answer:
        try:
            done = subprocess.run(
                [*_GIT, *question],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.PIPE,
                timeout=GIT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise _NoAnswerError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise _NoAnswerError(f"git {question[0]} took longer than {GIT_S:g} s") from error
        except OSError as error:
            raise _NoAnswerError(f"git cannot be started: {error.strerror}") from error
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise _NoAnswerError(f"git {question[0]}: {message[:500]}")
        size = answer.seek(0, os.SEEK_END)
        answer.seek(0)
        data = answer.read(DIFF_BYTES_MAX)
    if size > len(data):
        data = data[: data.rfind(b"\n") + 1]
    return data.decode(errors="replace"), size
