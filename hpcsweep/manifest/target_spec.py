"""Read the `target:` or `command:` of a manifest, with the checks that need not run it."""

from __future__ import annotations

import json
import keyword
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.mistakes import Mistakes, Where, described, shown
from hpcsweep.manifest.shell_words import shell_problem
from hpcsweep.yamltext import nearest

# Placeholders of a command besides its parameters.
PLACEHOLDERS = ("run_dir", "seed", "case_id", "index", "params_json")
_NULL_CHARACTER = "a null character, which no argument of a program can have"
_NO_NULL_CHARACTER = "Remove it; or give the command {params_json}, which has it escaped."
_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|(?P<stray>[{}])")
_PLAIN = re.compile(r"[^\s:!.\[\]\"']+")


class Usable(NamedTuple):
    """What a command can use."""

    # The paths of the parameters; None if they are not known.
    parameters: dict[str, Where] | None
    # Placeholders besides those of every command.
    more: tuple[str, ...] = ()
    # The parameters that it need not use.
    optional: Collection[str] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """All placeholders that are no parameters."""
        return (*PLACEHOLDERS, *self.more)


def read(
    raw: dict[str, Any],
    root: Path,
    usable: Usable,
    mistakes: Mistakes,
    generated: Collection[str] = (),
) -> Target | None:
    """The target of the manifest; None after adding mistakes.

    `generated`: files that need not exist yet.
    """
    keys = [key for key in ("target", "command") if key in raw]
    if len(keys) != 1:
        if keys:
            mistakes.add(("command",), "there is a target, too", "Keep one of them.")
        else:
            mistakes.add(
                (),
                "the key 'target' (or 'command') is missing",
                "Write target: file.py:function, or command: [program, argument].",
            )
        return None
    if keys == ["target"]:
        return named(("target",), raw["target"], "function", root, mistakes, generated=generated)
    if raw.get("isolation") == "task":
        mistakes.add(
            ("isolation",), "is task, and each case of a command is a program", "Remove it."
        )
    target = command("command", raw["command"], usable, mistakes)
    if target is not None:
        _check_parameters(usable, placeholders(target.argv), mistakes)
        refuse_null_characters(raw, target.argv, mistakes)
    return target


def placeholders(argv: Iterable[str]) -> frozenset[str]:
    """The names of the placeholders in the elements of a command."""
    pieces = (piece["name"] for element in argv for piece in _PIECE.finditer(element))
    return frozenset(name for name in pieces if name is not None)


def used_names(raw: dict[str, Any]) -> frozenset[str] | None:
    """The names that the `command:` of a manifest uses; None for all, or where it has none."""
    argv = raw.get("command")
    if not isinstance(argv, list) or "target" in raw:
        return None
    names = placeholders(element for element in argv if isinstance(element, str))
    return None if "params_json" in names else names


def refuse_null_characters(raw: dict[str, Any], argv: Iterable[str], mistakes: Mistakes) -> None:
    """Add each value with a null character of a parameter that is an argument of a command.

    The values of files are not read here: see `null_problem`.
    """
    names = placeholders(argv)
    waiting: list[tuple[Where, Any]] = [(("source",), raw.get("source"))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, place), inner) for place, inner in enumerate(value)]
        elif isinstance(value, str) and "\0" in value and names & {*path}:
            mistakes.add(
                path,
                f"has {_NULL_CHARACTER}",
                _NO_NULL_CHARACTER,
            )


def null_problem(nulls: Mapping[str, str], argv: Iterable[str]) -> tuple[str, str] | None:
    """What and what next of `CaseLines.nulls`; None if no argument of a command has one."""
    names = sorted(placeholders(argv) & nulls.keys())
    if not names:
        return None
    return (
        f"{shown(nulls[names[0]])}, a value of {names[0]}, has {_NULL_CHARACTER}",
        _NO_NULL_CHARACTER,
    )


def has_placeholder(target: Target, placeholder: str) -> bool:
    """Whether a command has this placeholder."""
    return placeholder in placeholders(target.argv)


def named(  # noqa: PLR0913  # a text, and where it stands
    path: Where,
    raw: Any,
    kind: str,
    root: Path,
    mistakes: Mistakes,
    *,
    generated: Collection[str] = (),
) -> Target | None:
    """The function or class that a text at `path` names; None after adding a mistake."""
    problem = _problem(raw, kind, root, generated)
    if problem:
        mistakes.add(path, *problem)
        return None
    place, _, name = raw.rpartition(":")
    if place.endswith(".py"):
        return Target(file=place, function=name)
    return Target(module=place, function=name)


def _problem(raw: Any, kind: str, root: Path, generated: Collection[str]) -> tuple[str, str] | None:
    examples = f"Write file.py:{kind} or package.module:{kind}."
    if not isinstance(raw, str):
        return f"is {described(raw)}, not a text", examples
    place, colon, function = raw.rpartition(":")
    if not colon or not place or "://" in raw:  # no part of a URL is shown
        return f"{shown(raw)} names no {kind}", examples
    if not _is_dotted_name(function):
        return f"{shown(function)} is not the name of a {kind}", examples
    if not place.endswith(".py"):
        if _is_dotted_name(place):
            return None
        return f"{shown(place)} is neither a .py file nor the name of a module", examples
    if PurePosixPath(place).is_absolute() or place.startswith("~") or "\0" in place:
        return (
            f"{shown(place)} is not a path relative to the manifest",
            "Give the path from the manifest's directory to the file.",
        )
    try:
        exists = place in generated or stat.S_ISREG((root / place).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except OSError as error:  # `is_file` does not tell it since Python 3.14
        return f"{shown(place)} cannot be opened: {error.strerror}", "Check the path."
    return (
        None if exists else (f"there is no file {shown(place)} in {root}", _neighbour(root / place))
    )


def _neighbour(path: Path) -> str:
    """A hint at a file with a similar name."""
    if not path.parent.is_dir():
        return "Its directory is missing, too."
    guess = nearest(path.name, (entry.name for entry in path.parent.glob("*.py")))
    return f"Did you mean {guess!r}?" if guess else "The path starts at the manifest's directory."


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def command(key: str, raw: Any, usable: Usable, mistakes: Mistakes) -> Target | None:
    """The command that is the value of a key; None after adding mistakes."""
    if isinstance(raw, str):
        mistakes.add(
            (key,),
            "is one text; no shell splits it, so that no value can become shell code",
            "Write a list: [program, argument, …]; for a shell, [sh, script.sh, …].",
        )
        return None
    if not isinstance(raw, list) or not raw:
        what = "is an empty list" if raw == [] else f"is {described(raw)}, not a list"
        mistakes.add((key,), what, "Write a list: [program, argument, …].")
        return None
    is_valid = True
    for position, element in enumerate(raw):
        problem = _element_problem(element, is_program=position == 0)
        if problem is None:
            problem = shell_problem(raw, position)
        if problem:
            mistakes.add((key, position), *problem)
            is_valid = False
        else:
            _check_placeholders(element, (key, position), usable, mistakes)
    return Target(argv=tuple(raw)) if is_valid else None


def _element_problem(element: Any, *, is_program: bool) -> tuple[str, str] | None:
    if isinstance(element, dict) and len(element) == 1 and list(element.values()) == [None]:
        # YAML reads an unquoted {omega} as a mapping.
        return "is a mapping, not a text", f'Quote it: "{{{next(iter(element))}}}".'
    if not isinstance(element, str):
        quote = f'Quote it: "{json.dumps(element)}".' if isinstance(element, (int, float)) else ""
        return f"is {described(element)}, not a text", quote
    if "\0" in element or (is_program and not element):
        return "cannot be an argument of a program", "Remove the null character, or the empty text."
    return None


def _check_placeholders(element: str, place: Where, usable: Usable, mistakes: Mistakes) -> None:
    """Add a mistake for each brace without a partner, and each unknown placeholder."""
    for piece in _PIECE.finditer(element):
        if piece["stray"]:
            mistakes.add(
                place,
                f"the brace {piece['stray']} in {shown(element)} has no partner",
                "Write {{ and }} for braces that the program is to see.",
            )
    known = (*(usable.parameters or ()), *usable.given)
    for name in sorted(placeholders([element]).difference(known)):
        if not _PLAIN.fullmatch(name):
            mistakes.add(
                place,
                f"has an unknown placeholder: {shown(element)}",
                "Placeholders are plain names; write {{ and }} for literal braces.",
            )
        elif usable.parameters is not None:
            guess = nearest(name, known)
            hint = f"Did you mean {{{guess}}}?" if guess else f"Known are {', '.join(known)}."
            mistakes.add(place, f"unknown placeholder {{{name}}}", hint)


def _check_parameters(usable: Usable, used: frozenset[str], mistakes: Mistakes) -> None:
    """Add a mistake for each parameter that cannot be used, or has to be and is not."""
    given = usable.given
    for name, path in sorted((usable.parameters or {}).items()):
        if name in given:
            mistakes.add(
                path,
                f"{{{name}}} is a placeholder of every command, so no parameter can have this name",
                f"Rename the parameter. Reserved are {', '.join(given)}.",
            )
        elif name not in usable.optional and used.isdisjoint((name, "params_json")):
            mistakes.add(
                path,
                "the command does not use this parameter",
                f"Put {{{name}}} into the command, or {{params_json}} for all, or remove it.",
            )
