"""Collect all mistakes of a manifest, to report them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hpcsweep.errors import ManifestError
from hpcsweep.yamltext import nearest

# A path of keys and 0-based positions in the user's file.
Where = tuple[str | int, ...]

# Largest count of mistakes that are reported.
SHOWN_MAX = 50
_TEXT_MAX = 60


class Mistakes:
    """The mistakes found so far.

    `where` is the `file:line` of a path, `position` its order on the line.
    """

    def __init__(
        self, where: Callable[[Where], str], position: Callable[[Where], tuple[int, ...]]
    ) -> None:
        self._where = where
        self._position = position
        # File, line and position by text: several checks may find the same mistake.
        self._places: dict[str, tuple[str, int, tuple[int, ...]]] = {}
        # By mapping: the unknown key whose mistake lists the known ones.
        self._listed_at: dict[Where, Where] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    @property
    def is_full(self) -> bool:
        """Whether no more mistakes are added."""
        return len(self._places) > SHOWN_MAX

    def where(self, path: Where) -> str:
        """`file:line` of a path."""
        return self._where(path)

    def add(self, path: Where, what: str, next_step: str = "") -> None:
        """Add `file:line: key: what. What next.`"""
        if self.is_full:
            return
        place = self._where(path)
        file, _, line = place.rpartition(":")
        key = f"{key_text(path)}: " if path else ""
        text = f"{place}: {key}{what}." + (f" {next_step}" if next_step else "")
        at = (file, int(line)) if line.isdigit() else (place, 0)
        self._places[text] = (*at, self._position(path))

    def unknown_key(self, path: Where, names: Iterable[str]) -> None:
        """Add an unknown key with the nearest known one, or once per mapping with all of them."""
        names = sorted(names)
        guess = nearest(str(path[-1]), names)
        if guess:
            hint = f"Did you mean {guess!r}?"
        elif self._listed_at.setdefault(path[:-1], path) == path:
            hint = f"Known are {', '.join(names)}."
        else:
            hint = "The known keys are listed above."
        self.add(path, "unknown key", hint)

    def error(self, path: Path) -> ManifestError:
        """The error with all mistakes, in the order of the file."""
        count = f"more than {SHOWN_MAX}" if self.is_full else str(len(self._places))
        return ManifestError(
            f"{count} mistake{'' if count == '1' else 's'} in the manifest",
            where=str(path),
            mistakes=tuple(sorted(self._places, key=self._places.__getitem__)[:SHOWN_MAX]),
        )


def key_text(path: Where) -> str:
    """A path as text: `setup[1]`, `slurm.time`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def described(value: Any) -> str:
    """A wrong value in words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value!r:.{_TEXT_MAX}}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return type_name(type(value))


def type_name(kind: type) -> str:
    """The name of a type in messages."""
    names: dict[type, str] = {list: "a list", dict: "a mapping", str: "a text"}
    return names.get(kind, f"a {kind.__name__}")


def shown(text: str) -> str:
    """A text in quotes, cut if it is long; a URL is not shown, since it may hold a password."""
    if "://" in text:
        return "that is a URL"
    return repr(text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 3] + "...")
