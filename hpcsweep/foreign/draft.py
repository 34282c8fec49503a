"""A manifest made from the file of another tool, and what of that file is not in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.redact import redact
from hpcsweep.sources.keys import RESERVED_NAMES

# Stands for a program that the file does not name.
UNKNOWN_PROGRAM = "./program"
# Count of random draws where the tool goes on until it is stopped.
N_TRIALS = 100
# What no placeholder of a command can contain.
NOT_IN_NAMES = re.compile(r"[^\w-]+")
# Names that a command's placeholders have already.
TAKEN = RESERVED_NAMES | {"run_dir", "case_id", "index", "params_json", "result_file"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What is imported, from where, and what the user says besides."""

    # A path; for some tools also a URL or a command line.
    source: str
    # The directory of the manifest.
    directory: Path
    # The program and its first arguments; None for what the file says.
    command: list[str] | None = None
    # Name of a study in a storage.
    study: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOffer:
    """A search that a manifest may have instead of random draws: the tool chose by results."""

    # What of the tool chooses so.
    instead_of: str
    n: int
    # A metric that the file names, or a stand-in.
    objective: str = "value"
    direction: str = "minimize"


@dataclass(kw_only=True, slots=True)
class Draft:
    """A manifest in the making."""

    name: str
    command: list[str]
    source: dict[str, Any] = field(default_factory=dict)
    # Sentences: what of the file the manifest does not have, and what it has in another way.
    left_out: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    search: SearchOffer | None = None

    @property
    def remarks(self) -> list[str]:
        """What a person should know, a line each."""
        texts = [f"not carried over: {text}" for text in self.left_out]
        texts += [f"changed: {text}" for text in self.changed]
        return [redact(" ".join(text.split())) for text in texts]

    def leave_out(self, mapping: Mapping[str, Any], known: Iterable[str], inside: str = "") -> None:
        """Record the keys of a file that are not known; of nested ones the names alone."""
        for key in sorted(mapping.keys() - {*known}):
            self.left_out.append(f"{inside}{key}: {_shown(mapping[key])}")


class ParameterNames:
    """Names of parameters that a placeholder can have, for those of another tool."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._names: dict[str, str] = {}

    def of(self, foreign: str) -> str:
        """The name of a parameter; a changed one is recorded in the draft."""
        if foreign not in self._names:
            name = NOT_IN_NAMES.sub("_", foreign) or "_"
            while name in TAKEN or name in self._names.values():
                name += "_"
            if name != foreign:
                self._draft.changed.append(
                    f"{foreign} is {name} in tables and conditions; the program gets {foreign}"
                )
            self._names[foreign] = name
        return self._names[foreign]


def literal(text: str) -> str:
    """A text as an element of a command, where braces are placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def program_of(request: ImportRequest, draft: Draft, what: str) -> list[str]:
    """The program and its first arguments, or a stand-in, which is recorded in the draft."""
    if request.command:
        return [literal(part) for part in request.command]
    draft.changed.append(
        f"{UNKNOWN_PROGRAM} stands for the program, which {what} does not name; --command names it"
    )
    return [UNKNOWN_PROGRAM]


def read_text(source: str, what: str) -> str:
    """The text of a file. *Raises* InputError."""
    try:
        return Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"cannot be read: {reason}", where=source, next_step=f"Name {what}."
        ) from error


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, dict) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
