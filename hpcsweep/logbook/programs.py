"""Run a program with its output in the run directory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError

if TYPE_CHECKING:
    from hpcsweep.logbook.run_writer import RunWriter

Completed = subprocess.CompletedProcess[str]


def run_program(
    log: RunWriter,
    argv: Sequence[str | PathLike[str]],
    name: str | None,
    *,
    check: bool,
    options: Mapping[str, Any],
) -> Completed:
    """Run a program with its output in the run directory; see `Logbook.subprocess`."""
    if isinstance(argv, str) or options.get("shell") or not argv:
        raise InputError(
            "a program is run from a list of its arguments, never from a line of shell",
            next_step='log.subprocess(["./solver", "--omega", "1.0"])',
        )
    words = [fspath(word) if isinstance(word, PathLike) else str(word) for word in argv]
    label = name or Path(words[0]).name
    out, err = (log[f"artifacts/{label}.{which}.txt"] for which in ("stdout", "stderr"))
    begun = time.monotonic()
    try:
        with out.open("ab") as stdout, err.open("ab") as stderr:
            done = subprocess.run(
                words,
                stdout=stdout,
                stderr=stderr,
                check=False,
                text=True,
                **{"stdin": subprocess.DEVNULL, **options},
            )
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{words[0]} cannot be run: {error}") from error
    log.note(f"Ran {label}: exit code {done.returncode} after {time.monotonic() - begun:.3f} s")
    if check and done.returncode:
        raise InputError(
            f"{words[0]} ended with exit code {done.returncode}",
            where=str(err),
            next_step="Read what it wrote there; check=False goes on without it.",
        )
    return done
