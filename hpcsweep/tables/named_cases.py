"""Cases by name: `--cases 3,7,10-20`, case ids and their beginnings, `@FILE`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.records import ParamCase
from hpcsweep.sources import ParameterSource

# The option, in messages.
OPTION = "--cases"
# Digits of a case id; and the fewest of its decimal digits alone that are no mistyped index.
ID_DIGITS = 16
DECIMALS_MIN = 8
# What `collect --columns index` and `--columns case_id` write above the names.
HEADINGS = ("index", "case_id")
# Largest count of cases without a row that a command looks at: about half a minute.
LOOKED_UP_MAX = 1_000_000

_RANGE = re.compile(r"([0-9]{1,600})(?:-([0-9]{1,600}))?", re.ASCII)
_ID = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


@dataclass(kw_only=True, slots=True)
class NamedCases:
    """What a list of cases names, before any case is looked up."""

    # All of them exist.
    indices: IndexSet
    # Case ids and beginnings of them, as they were written.
    ids: list[str] = field(default_factory=list)


def named_cases(cases: str | Iterable[int | str], n_cases: int) -> NamedCases:
    """Parse a list of cases, or the names in a file.

    A name of decimal digits alone is an index, except one of 8 and more that no case has as its
    index, and one of 16.
    *Raises* InputError.
    """
    numbers: list[int] = []
    ranges: list[tuple[int, int]] = []
    ids: list[str] = []
    for name in _names(cases):
        if not isinstance(name, str):
            if isinstance(name, bool) or not hasattr(name, "__index__") or name < 0:
                raise _problem(f"{name!r} is no index", n_cases)
            numbers.append(name)
        elif (bounds := _range(name, n_cases)) is not None:
            ranges.append(bounds)
        elif _ID.fullmatch(name):
            ids.append(name)
        else:
            raise _problem(
                f"{name!a:.60} is neither an index nor an ascending range nor the beginning of a "
                "case id",
                n_cases,
            )
    indices = IndexSet.union((IndexSet.of(numbers), IndexSet(ranges)))
    beyond = indices - IndexSet.all(n_cases)
    if beyond:
        raise _problem(f"no case has the index {beyond.select(0)}", n_cases)
    if not indices and not ids:
        raise _problem("it names no case", n_cases)
    return NamedCases(indices=indices, ids=ids)


def _names(cases: str | Iterable[int | str]) -> Iterator[int | str]:
    if not isinstance(cases, str):
        for case in cases:
            yield case.strip() if isinstance(case, str) else case
    elif cases.startswith("@"):
        yield from _names_in(Path(cases[1:]))
    elif cases.strip():
        yield from map(str.strip, cases.split(","))


def _names_in(path: Path) -> Iterator[str]:
    """The names in a file, `-` for standard input: one or more in a line, with commas.

    `#` begins a comment.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(
            f"{path} cannot be read: {why}",
            where=OPTION,
            next_step="A file has an index, a range or a case id in each line.",
        ) from error
    names = [
        name
        for line in text.removeprefix("\ufeff").splitlines()
        for name in map(str.strip, line.partition("#")[0].split(","))
        if name
    ]
    if names and names[0] in HEADINGS:
        del names[0]
    if not names:
        raise InputError(
            f"{path} names no case",
            where=OPTION,
            next_step="Write an index, a range or a case id into each line.",
        )
    yield from names


def _range(name: str, n_cases: int) -> tuple[int, int] | None:
    """A half-open range; None for what may be a case id."""
    match = _RANGE.fullmatch(name)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise _problem(
            f"{name!r} is neither an index nor an ascending range: write {last}-{first}", n_cases
        )
    may_be_id = match[2] is None and DECIMALS_MIN <= len(name) <= ID_DIGITS
    if may_be_id and (last >= n_cases or len(name) == ID_DIGITS):
        return None
    return first, last + 1


# --- case ids ------------------------------------------------------------------------------------


def cases_made(source: ParameterSource, indices: IndexSet) -> Iterator[ParamCase]:
    """The cases of these indices that the source can make; a submit reports the others."""
    for index in indices:
        with suppress(SourceError):
            yield source[index]


def params_made(
    source: ParameterSource, indices: IndexSet
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Params and carried cells of the same cases: without their ids, in a third of the time."""
    for index in indices:
        with suppress(SourceError):
            yield source.params(index), source.carried(index)


def refuse_too_many(never: IndexSet, what: str, option: str) -> None:
    """*Raises* InputError for more cases without a row than a command looks at."""
    if never.count > LOOKED_UP_MAX:
        raise InputError(
            f"the {what} of {never.count} cases that never began would have to be looked at, and "
            f"{LOOKED_UP_MAX} are the most",
            where=option,
            next_step="Say by index among which cases to look: --cases 0-99999.",
        )


class NewCases:
    """Cases that never began, by the beginnings of their ids. Makes each of them."""

    def __init__(self, source: ParameterSource, never: IndexSet, ids: Iterable[str]) -> None:
        """*Raises* InputError for too many."""
        refuse_too_many(never, "ids", OPTION)
        prefixes = set(ids)
        lengths = sorted(set(map(len, prefixes)))
        # Indices by case id, by the beginning that was asked for.
        self._by_prefix: dict[str, dict[str, list[int]]] = {}
        for case in cases_made(source, never):
            for length in lengths:
                if case.case_id[:length] in prefixes:
                    of = self._by_prefix.setdefault(case.case_id[:length], {})
                    of.setdefault(case.case_id, []).append(case.index)

    def find(self, prefix: str) -> dict[str, list[int]]:
        """Their indices by case id; nothing if none has it."""
        return self._by_prefix.get(prefix, {})


def one_case(prefix: str, by_id: dict[str, list[int]], n_cases: int) -> list[int]:
    """The indices of the only case whose id begins so. *Raises* InputError for none, or several."""
    if len(by_id) > 1:
        some = ", ".join(sorted(by_id)[:3])
        raise InputError(
            f"{prefix!r} begins several case ids: {some}",
            where=OPTION,
            next_step="Give more digits.",
        )
    if not by_id:
        what = f"no case id begins with {prefix!r}"
        if may_be_index(prefix):
            what = f"no case has the index {prefix!r}, and {what}"
        raise _problem(what, n_cases)
    ((_, indices),) = by_id.items()
    return indices


def may_be_index(prefix: str) -> bool:
    """Whether the beginning of a case id looks like an index."""
    return prefix.isdigit() and len(prefix) < ID_DIGITS


def _problem(what: str, n_cases: int) -> InputError:
    return InputError(
        what,
        where=OPTION,
        next_step=f"Indices are 0..{n_cases - 1}, as in {OPTION} 3,7,10-20; `hpcsweep collect` "
        "shows case ids.",
    )
