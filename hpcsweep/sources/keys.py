"""The keys of a source in a manifest, described once, and the checks that all sources share.

Each source describes itself in its `KIND`. What reads a manifest, its JSON Schema, the tables of
the documentation and the hints at a misspelt key follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError

# A target asks for these by name, so no parameter can have one of them.
RESERVED_NAMES = frozenset({"params", "log", "rng", "seed", "case", "checkpoint"})
# Keys and 0-based positions that lead to a value inside another.
Steps = tuple[str | int, ...]
Check = Callable[[], object]


def _unchanged(value: Any, where: str, directory: Path | None) -> Any:  # noqa: ARG001  # all readers are alike
    return value


def _no_parts(value: Any, where: str) -> Iterable[tuple[Steps, Check]]:  # noqa: ARG001  # likewise
    return ()


def _no_names(value: Any) -> Iterable[tuple[str, Steps]]:  # noqa: ARG001  # likewise
    return ()


class KeyType(NamedTuple):
    """What a key can hold."""

    # In words, for the documentation.
    noun: str
    # In JSON Schema; "#/$defs/…" are those of `manifest.source_schema`.
    schema: Mapping[str, Any]
    # Turns the value, with where it is written and the directory of a frozen manifest, into the
    # argument of the source. *Raises* SourceError.
    read: Callable[[Any, str, Path | None], Any] = _unchanged
    # The parts of a value that can be checked on their own, so that all mistakes are shown at once.
    parts: Callable[[Any, str], Iterable[tuple[Steps, Check]]] = _no_parts
    # The parameters that a value names, and where in it.
    names: Callable[[Any], Iterable[tuple[str, Steps]]] = _no_names
    # What a value is where it stands under its form without the key.
    shape: type = object


class Key(NamedTuple):
    """One key of a source's manifest dict, which is an argument of the source, too."""

    # As a manifest has it.
    name: str
    # What it holds.
    type: KeyType
    # What it says, for the documentation.
    meaning: str
    # What holds without it, in words; empty where it must be there.
    default: str = ""
    # Whether people write it; what is beside a form, or found out, they do not.
    in_form: bool = True


class Kind(NamedTuple):
    """A kind of source, as a manifest and the documentation have it."""

    # What its cases are, in words.
    meaning: str
    # The keys of its manifest dict, besides `type` and `total_cases`.
    keys: tuple[Key, ...]
    # Its key below `source:`; empty where only a manifest dict has it.
    form: str = ""
    # The name of the key whose value may stand under the form as it is.
    alone: str = ""
    # How it is made in Python.
    python: str = ""
    # What stands under its form, for example.
    example: str = ""

    @property
    def is_modifier(self) -> bool:
        """Whether its form stands beside another, whose cases it changes."""
        return any(key.name == "source" for key in self.keys)

    @property
    def form_keys(self) -> tuple[Key, ...]:
        """The keys that people write."""
        return tuple(key for key in self.keys if key.in_form)

    @property
    def lone_key(self) -> Key | None:
        """The key whose value may stand under the form as it is."""
        return next((key for key in self.keys if key.name == self.alone), None)

    def checked(self, value: Any, where: str) -> Mapping[str, Any]:
        """A manifest dict, if it has the keys of this kind. *Raises* SourceError."""
        required = ("type", *(key.name for key in self.keys if not key.default))
        optional = (*(key.name for key in self.keys if key.default), "total_cases")
        return checked_keys(value, required, optional, where)


# --- checks that sources share ----------------------------------------------------------------


def fresh(value: Any) -> Any:
    """A copy of a plain value; scalars are immutable and stay as they are."""
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    if isinstance(value, list):
        return [fresh(item) for item in value]
    return value


def check_names(names: Iterable[Any], where: str) -> None:
    """*Raises* SourceError or IdentityError for a name that no parameter can have."""
    for name in names:
        if not isinstance(name, str) or not name:
            raise SourceError(
                f"{ids.shown(name)} is not a parameter name",
                where=where,
                next_step="Name parameters with non-empty text.",
            )
        ids.plain(name, where)  # refuses what cannot be written as UTF-8
        if name in RESERVED_NAMES:
            raise SourceError(
                f"no parameter can be called {name!r}: a target that has an argument of "
                "this name is given something else",
                where=where,
                next_step=f"Rename it; reserved are {', '.join(sorted(RESERVED_NAMES))}.",
            )


def checked_keys(
    found: Any, required: Iterable[str], optional: Iterable[str], where: str
) -> Mapping[str, Any]:
    """`found`, if it is a mapping with these keys. *Raises* SourceError."""
    if not isinstance(found, Mapping):
        raise SourceError(
            f"it has the type {type(found).__name__}", where=where, next_step="Give a mapping."
        )
    required = tuple(required)
    known = (*required, *optional)
    for key in found:
        if key not in known:
            raise SourceError(
                f"unknown key {ids.shown(key)}", where=where, next_step=nearest(key, known, "key")
            )
    for key in required:
        if key not in found:
            raise SourceError(
                f"the key {key!r} is missing",
                where=where,
                next_step=f"Needed are {', '.join(required)}.",
            )
    return found


def checked_tags(tags: Any, where: str = "tags") -> tuple[str, ...]:
    """A list of text. *Raises* SourceError."""
    tags = [] if tags is None else tags
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise SourceError(
            f"{ids.shown(tags)} is not a list of text",
            where=where,
            next_step='Write it like ["a", "b"].',
        )
    return tuple(ids.plain(tags, where))


def nearest(name: Any, known: Iterable[str], noun: str) -> str:
    """What to do about an unknown name: the nearest known one, and all of them."""
    # Only on the way to an error: a worker has no use for difflib and pays for each import.
    from difflib import get_close_matches  # noqa: PLC0415

    known = list(known)
    close = get_close_matches(str(name), known, n=1)
    start = f"Did you mean {close[0]!r}? " if close else ""
    return f"{start}Known {noun}s: {', '.join(known)}."


def whole_number(value: Any, where: str, at_least: int | None = None) -> int:
    """`value` as a Python int. *Raises* SourceError for anything else, a bool included."""
    try:
        number = ids.plain(value, where)
    except IdentityError as error:
        raise SourceError(error.what, where=where, next_step="Give an integer.") from error
    if type(number) is not int:
        raise SourceError(
            f"{ids.shown(value)} is not an integer", where=where, next_step="Give an integer."
        )
    if at_least is not None and number < at_least:
        raise SourceError(
            f"{number} is too small", where=where, next_step=f"Give {at_least} or more."
        )
    return number


# --- what keys hold ---------------------------------------------------------------------------


def as_one_part(
    check: Callable[[Any, str], object],
) -> Callable[[Any, str], Iterable[tuple[Steps, Check]]]:
    """The one part of a value that is checked as a whole."""
    return lambda value, where: [((), lambda: check(value, where))]


def names_of(value: Any) -> Iterator[tuple[str, Steps]]:
    """The parameters of a mapping by name."""
    for name in value if isinstance(value, Mapping) else ():
        yield name, (name,)


INTEGER = KeyType("an integer", {"type": "integer"}, parts=as_one_part(whole_number))
COUNT = KeyType(
    "an integer of 1 or more",
    {"type": "integer", "minimum": 1},
    parts=as_one_part(lambda value, where: whole_number(value, where, at_least=1)),
)
TAGS = KeyType(
    "a list of texts",
    {"type": ["array", "null"], "items": {"type": "string"}},
    parts=as_one_part(checked_tags),
)
PARAMS = KeyType(
    "a mapping of parameters to values",
    {"$ref": "#/$defs/Case", "minProperties": 1},
    names=names_of,
)
SEED = Key("seed", INTEGER, "what the draws, or the order, follow from")
