"""Read the `target:` or `command:` of a manifest, with the checks that need not run it."""

from __future__ import annotations

import keyword
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.mistakes import Mistakes, Where, described, shown
from hpcsweep.yamltext import nearest

# Placeholders of a command besides its parameters.
PLACEHOLDERS = ("run_dir", "seed", "case_id", "index", "params_json")

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|(?P<stray>[{}])")
_PLAIN = re.compile(r"[^\s:!.\[\]\"']+")


def read(
    raw: dict[str, Any],
    root: Path,
    parameters: dict[str, Where] | None,
    mistakes: Mistakes,
    more: tuple[str, ...] = (),
) -> Target | None:
    """The target of the manifest; None after adding mistakes.

    `parameters` are the paths of the parameters; None if they are not known. `more` are
    placeholders besides those of every command.
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
        return named(("target",), raw["target"], "function", root, mistakes)
    if raw.get("isolation") == "task":
        mistakes.add(
            ("isolation",), "is task, and each case of a command is a program", "Remove it."
        )
    return command("command", raw["command"], parameters, more, mistakes)


def has_placeholder(target: Target, placeholder: str) -> bool:
    """Whether a command has this placeholder."""
    names = (piece["name"] for element in target.argv for piece in _PIECE.finditer(element))
    return placeholder in names


def named(path: Where, raw: Any, kind: str, root: Path, mistakes: Mistakes) -> Target | None:
    """The function or class that a text at `path` names; None after adding a mistake."""
    problem = _problem(raw, kind, root)
    if problem:
        mistakes.add(path, *problem)
        return None
    place, _, name = raw.rpartition(":")
    if place.endswith(".py"):
        return Target(file=place, function=name)
    return Target(module=place, function=name)


def _problem(raw: Any, kind: str, root: Path) -> tuple[str, str] | None:
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
        exists = stat.S_ISREG((root / place).stat().st_mode)
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


def command(
    key: str,
    raw: Any,
    parameters: dict[str, Where] | None,
    more: tuple[str, ...],
    mistakes: Mistakes,
) -> Target | None:
    """The command that is the value of a key; None after adding mistakes. Rest as in `read`."""
    given = (*PLACEHOLDERS, *more)
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
    used: set[str] = set()
    is_valid = True
    for position, element in enumerate(raw):
        problem = _element_problem(element, is_program=position == 0)
        if problem:
            mistakes.add((key, position), *problem)
            is_valid = False
        else:
            used |= _placeholders(element, (key, position), parameters, given, mistakes)
    if parameters is not None and is_valid:
        _check_parameters(parameters, used, given, mistakes)
    return Target(argv=tuple(raw)) if is_valid else None


def _element_problem(element: Any, *, is_program: bool) -> tuple[str, str] | None:
    if isinstance(element, dict) and len(element) == 1 and list(element.values()) == [None]:
        # YAML reads an unquoted {omega} as a mapping.
        return "is a mapping, not a text", f'Quote it: "{{{next(iter(element))}}}".'
    if not isinstance(element, str):
        quote = f' Quote it: "{element}".' if isinstance(element, (int, float)) else ""
        return f"is {described(element)}, not a text", quote.strip()
    if "\0" in element or (is_program and not element):
        return "cannot be an argument of a program", "Remove the null character, or the empty text."
    return None


def _placeholders(
    element: str,
    place: Where,
    parameters: dict[str, Where] | None,
    given: tuple[str, ...],
    mistakes: Mistakes,
) -> set[str]:
    """The names of the placeholders in an element of a command; adds mistakes."""
    names = set()
    for piece in _PIECE.finditer(element):
        if piece["stray"]:
            mistakes.add(
                place,
                f"the brace {piece['stray']} in {shown(element)} has no partner",
                "Write {{ and }} for braces that the program is to see.",
            )
        elif piece["name"] is not None:
            names.add(piece["name"])
    usable = (*(parameters or ()), *given)
    for name in sorted(names.difference(usable)):
        if not _PLAIN.fullmatch(name):
            mistakes.add(
                place,
                f"has an unknown placeholder: {shown(element)}",
                "Placeholders are plain names; write {{ and }} for literal braces.",
            )
        elif parameters is not None:
            guess = nearest(name, usable)
            hint = f"Did you mean {{{guess}}}?" if guess else f"Known are {', '.join(usable)}."
            mistakes.add(place, f"unknown placeholder {{{name}}}", hint)
    return names


def _check_parameters(
    parameters: dict[str, Where], used: set[str], given: tuple[str, ...], mistakes: Mistakes
) -> None:
    for name, path in parameters.items():
        if name in given:
            mistakes.add(
                path,
                f"{{{name}}} is a placeholder of every command, so no parameter can have this name",
                f"Rename the parameter. Reserved are {', '.join(given)}.",
            )
        elif name not in used and "params_json" not in used:
            mistakes.add(
                path,
                "the command does not use this parameter",
                f"Put {{{name}}} into the command, or {{params_json}} for all, or remove it.",
            )
