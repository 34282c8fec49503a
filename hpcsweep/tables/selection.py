"""The selection: which cases a command means."""

from __future__ import annotations

from collections.abc import Iterable

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet


def case_set(cases: str | Iterable[int], n_cases: int) -> IndexSet:
    """The indices that `--cases 3,7,10-20` names, or those of a list.

    *Raises* InputError for none at all, and for one that no case has.
    """
    found = IndexSet.parse(cases) if isinstance(cases, str) else IndexSet.of(cases)
    beyond = found - IndexSet.all(n_cases)
    if beyond or not found:
        what = f"no case has the index {beyond.select(0)}" if beyond else "it names no case"
        raise InputError(
            what,
            where="--cases",
            next_step=f"Indices are 0 to {n_cases - 1}: --cases 3,7,10-20.",
        )
    return found
