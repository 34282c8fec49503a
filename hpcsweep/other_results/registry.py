"""Find out which form results have: a new form is a module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hpcsweep.other_results import cached_results, run_directories, run_records
from hpcsweep.other_results.run import OtherRun

FORMS: tuple[Callable[[Path], Iterator[OtherRun] | None], ...] = (
    run_directories.runs,
    run_records.runs,
    cached_results.runs,
)


def read_runs(path: Path) -> list[OtherRun] | None:
    """The runs below a path, in its form; None if it has no known one. *Raises* SweepError."""
    for form in FORMS:
        found = form(path)
        if found is not None:
            return list(found)
    return None
