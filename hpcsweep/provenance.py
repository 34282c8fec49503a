"""Provenance: the code, host, Python and packages behind a result; looked up once."""

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
# Of what differs from the commit, so many bytes are kept, in whole lines; of names so many.
DIFF_BYTES_MAX = 1 << 20
UNTRACKED_MAX = 100
# Seconds for one question to git.
GIT_S = 5.0
_GIT = (
    *("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"),
    *("-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"),
)
# Directories as one name: nobody wants to wait for a million results.
_OTHERS = ("ls-files", "--others", "--exclude-standard", "--directory", "--full-name")
_DIFF = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative")


def provenance(directory: Path, installed: list[str] | None = None) -> dict[str, Any]:
    """What a result made from the code in `directory` goes back to.

    `installed` are the packages, as `packages` names them; those of this process if it is None.
    """
    system = os.uname()
    if installed is None:
        installed = packages()
    return {
        "format": FORMAT,
        "host": system.nodename,
        "system": f"{system.sysname} {system.release} {system.machine}",
        "python": {"version": python_version(), "executable": sys.executable},
        "packages_digest": packages_digest(installed),
        "packages": installed,
        "git": _git(directory),
    }


def python_version() -> str:
    """Of this interpreter: `3.11.2`."""
    return sys.version.partition(" ")[0]


def packages() -> list[str]:
    """Installed packages, `name version`, sorted, from the names of their metadata directories.

    One listing for every directory on the path but the standard library's own.
    """
    own = os.path.dirname(os.__file__)  # noqa: PTH120  # a task starts with few modules
    found: set[str] = set()
    for directory in dict.fromkeys(sys.path):
        if not directory or directory.endswith(".zip") or directory.startswith(f"{own}/lib-"):
            continue
        with contextlib.suppress(SweepError):  # unreadable
            for name in names(Path(directory)) if directory != own else ():
                stem, _, kind = name.rpartition(".")
                if kind in ("dist-info", "egg-info"):
                    title, _, version = stem.partition("-")
                    found.add(f"{title} {version.partition('-')[0]}".rstrip())
    return sorted(found)


def packages_digest(installed: list[str]) -> str:
    """16 hex digits over the names and versions of packages."""
    return hashlib.sha256("\n".join(installed).encode(errors="replace")).hexdigest()[:16]


# --- of a process without a submission -----------------------------------------------------------


def save_provenance(base: Path, directory: Path | None = None) -> str:
    """Keep this process's provenance beside its runs; what the runs call it, relative to `base`.

    `directory` is that of the code: of the program if it is None. *Writes*
    `<base>/.provenance.<digest>.json`, once for all that are equal. *Raises* SweepError.
    """
    name, data = of_this_process(directory)
    if not os.path.exists(f"{base}/{name}"):  # noqa: PTH110  # once per run: as quick as it gets
        replace(base / name, data)
    return name


@cache
def of_this_process(directory: Path | None = None) -> tuple[str, bytes]:
    """Name and content of the file that `save_provenance` writes; looked up with the first call."""
    data = json_bytes(provenance(directory or _program_directory()))
    return f".provenance.{hashlib.sha256(data).hexdigest()[:16]}.json", data


def _program_directory() -> Path:
    """Of the script that runs; in a notebook or at a prompt the working directory."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).absolute().parent if script else Path.cwd()


# --- git -----------------------------------------------------------------------------------------


def _git(directory: Path) -> dict[str, Any] | None:
    """The commit and what differs from it; None where the directory is in no repository."""
    directory = directory.resolve()
    if not any((one / ".git").exists() for one in (directory, *directory.parents)):
        return None
    from hpcsweep.redact import redact  # noqa: PLC0415  # a task imports this module, too

    found: dict[str, Any] = {}
    try:
        found["commit"] = _run_git(directory, "rev-parse", "--verify", "HEAD")[0].strip()
        diff, size = _run_git(directory, *_DIFF)
        # Of the whole diff: more than there is of it here if it was cut.
        found |= {"dirty": size > 0, "diff": redact(diff), "diff_bytes": size}
        untracked = _run_git(directory, *_OTHERS)[0].splitlines()
        found |= {"untracked": untracked[:UNTRACKED_MAX], "untracked_count": len(untracked)}
    except _NoAnswerError as error:  # what is known stays
        found["problem"] = redact(str(error))
    return found


class _NoAnswerError(Exception):
    """Git gave no answer; the text says why."""


def _run_git(directory: Path, *question: str) -> tuple[str, int]:
    """The answer of git in whole lines up to the limit, and the bytes of all of it."""
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
            said = done.stderr.decode(errors="replace").strip()
            raise _NoAnswerError(f"git {question[0]}: {said[:500]}")
        size = answer.seek(0, os.SEEK_END)
        answer.seek(0)
        data = answer.read(DIFF_BYTES_MAX)
    if size > len(data):
        data = data[: data.rfind(b"\n") + 1]
    return data.decode(errors="replace"), size
