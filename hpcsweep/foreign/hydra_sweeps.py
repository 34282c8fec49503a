"""A manifest of a Hydra multirun: a command line, or a config with `hydra.sweeper.params`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcsweep import yamltext
from hpcsweep.errors import InputError
from hpcsweep.foreign import hydra_optuna
from hpcsweep.foreign.draft import (
    Draft,
    ImportRequest,
    ParameterNames,
    literal,
    program_of,
    read_text,
)
from hpcsweep.ids import slug

_OVERRIDE = re.compile(
    r"(?P<key>(?P<prefix>\+{0,2})(?P<name>[\w./@:$-]+))=(?P<value>.*)", re.DOTALL
)
_FUNCTION = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)", re.DOTALL)
_MULTIRUN = ("-m", "--multirun")
# A text that Hydra reads as one without quotes.
_UNQUOTED = re.compile(r"[\w./:+%@?|-]*")
_FORM = (
    "Give a line, like 'python train.py -m lr=0.1,0.01 model=a,b', or a file with it or a config."
)


@dataclass(slots=True)
class _Line:
    """A command line of Hydra."""

    program: list[str] = field(default_factory=list)
    # Options and deletions, passed as they are.
    others: list[str] = field(default_factory=list)
    # (key as written, name, text of the value)
    overrides: list[tuple[str, str, str]] = field(default_factory=list)
    # What the sweeper is told: `n_trials`, `direction` and others.
    sweeper: dict[str, Any] = field(default_factory=dict)


def import_file(request: ImportRequest) -> Draft:
    """The draft of a line, of a file with one, or of a config in YAML. *Raises* InputError."""
    path = Path(request.source)
    is_line = "=" in request.source and not path.is_file()
    draft = Draft(name="hydra" if is_line else slug(path.stem, 64), command=[])
    if path.suffix in (".yaml", ".yml") and not is_line:
        line = _of_config(path, draft)
    else:
        text = request.source if is_line else read_text(request.source, "a file with a line")
        line = _of_line(_multirun_line(text), draft)
    if not line.overrides:
        raise InputError("has no parameters to sweep", where=request.source, next_step=_FORM)
    program = line.program if line.program and not request.command else None
    draft.command = (
        [literal(part) for part in program]
        if program
        else program_of(request, draft, "it" if is_line else "the file")
    )
    draft.command += map(literal, line.others)
    _add_overrides(line, draft)
    # Each run of Hydra makes a directory, by the clock unless it is told which.
    draft.command.append("hydra.run.dir='{run_dir}/hydra'")
    return draft


def _multirun_line(text: str) -> str:
    """The line of a file that starts a multirun."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = [line for line in joined.splitlines() if "=" in line and not line.startswith("#")]
    multirun = [line for line in lines if {*_MULTIRUN} & {*line.split()}]
    return next(iter(multirun or lines), "")


def _of_line(text: str, draft: Draft) -> _Line:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"cannot be read: {error}", where=text, next_step=_FORM) from error
    line = _Line()
    for place, word in enumerate(words):
        override = _OVERRIDE.fullmatch(word)
        is_module = word == "-m" and place > 0 and "python" in words[place - 1]
        if word in _MULTIRUN and not is_module:
            continue
        if override and not line.program and word.partition("=")[0].isupper():
            # Not its value, which may be a key.
            draft.left_out.append(f"the variable {override['name']}; `setup` can export it")
        elif override and not word.startswith("-"):
            line.overrides.append((override["key"], override["name"], override["value"]))
        elif line.overrides or line.others or (word.startswith(("-", "~")) and not is_module):
            line.others.append(word)
        else:
            line.program.append(word)
    return line


def _of_config(path: Path, draft: Draft) -> _Line:
    config = yamltext.load(path).value
    hydra = config.get("hydra", config) if isinstance(config, dict) else None
    sweeper = hydra.get("sweeper", hydra) if isinstance(hydra, dict) else None
    params = sweeper.get("params") if isinstance(sweeper, dict) else None
    if not isinstance(hydra, dict) or not isinstance(sweeper, dict) or not isinstance(params, dict):
        raise InputError("has no hydra.sweeper.params", where=str(path), next_step=_FORM)
    if hydra is not sweeper:
        draft.leave_out(hydra, ["sweeper"], "hydra.")
    draft.leave_out(sweeper, ["params", *hydra_optuna.SWEEPER_KEYS], "hydra.sweeper.")
    texts = {
        key: value if isinstance(value, str) else _text(value) for key, value in params.items()
    }
    overrides = [(key, key.lstrip("+"), text) for key, text in texts.items()]
    return _Line(overrides=overrides, sweeper=sweeper)


def _text(value: Any) -> str:
    """A value of YAML as Hydra's overrides have it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_text(item)}' for key, item in value.items())}}}"
    return str(value)


def _add_overrides(line: _Line, draft: Draft) -> None:
    names = ParameterNames(draft)
    _take_sweeper(line)
    has_intervals = hydra_optuna.is_optuna(line.sweeper)
    axes: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    space: dict[str, Any] = {}
    for key, name, text in line.overrides:
        if name.startswith(("hydra.", "hydra/")):
            draft.left_out.append(f"{name}={text}")
            continue
        values = _values(text)
        rule = hydra_optuna.interval(text) if has_intervals else None
        if values is None and rule is None:
            draft.left_out.append(f"{name}={text}: only listed values and ranges are carried over")
            continue
        parameter = names.of(name)
        if rule is not None:
            space[parameter] = rule
        elif isinstance(values, list) and len(values) == 1:
            fixed[parameter] = values[0]
        else:
            axes[parameter] = values
        draft.command.append(_argument(key, name, parameter, values or [], draft))
    draft.source = {"grid": axes} | ({"fixed": fixed} if fixed else {})
    if has_intervals:
        space |= {name: hydra_optuna.drawn(axis) for name, axis in axes.items()}
        hydra_optuna.search(draft, line.sweeper, space | fixed)


def _take_sweeper(line: _Line) -> None:
    """Move the overrides of the sweeper to what it is told."""
    for override in list(line.overrides):
        _, name, text = override
        key = name.removeprefix("hydra.sweeper.")
        if name == "hydra/sweeper" and text == "optuna":
            line.sweeper["_target_"] = text
        elif name != key and key in hydra_optuna.SWEEPER_KEYS:
            line.sweeper[key] = _scalar(text)
        else:
            continue
        line.overrides.remove(override)


def _argument(key: str, name: str, parameter: str, values: Any, draft: Draft) -> str:
    """The argument of a parameter, with quotes where Hydra needs them for a value."""
    texts = [value for value in values if isinstance(value, str)]
    is_quoted = any(not _is_plain(text) for text in texts)
    if is_quoted and (len(texts) < len(values) or any({*"'\\"} & {*text} for text in texts)):
        draft.changed.append(f"{name} has quotes around its values: check the command")
    placeholder = f"{{{parameter}}}"
    return f"{literal(key)}=" + (f"'{placeholder}'" if is_quoted else placeholder)


def _is_plain(text: str) -> bool:
    """Whether Hydra reads a text without quotes; lists and mappings have their own syntax."""
    return text.startswith(("[", "{")) or _UNQUOTED.fullmatch(text) is not None


def _values(text: str) -> Any:
    """The values of a sweep: a list, or the rule of an axis; None for what cannot be listed."""
    parts = list(_split(text))
    call = _FUNCTION.fullmatch(text.strip()) if len(parts) == 1 else None
    if call is None:
        return [_scalar(part) for part in parts]
    arguments = [part.partition("=")[2] or part for part in _split(call["arguments"])]
    values = [_scalar(argument) for argument in arguments]
    match call["name"]:
        case "choice":
            return values
        case "range" if all(type(value) in (int, float) for value in values):
            bounds = [0, *values] if len(values) == 1 else values
            whole = all(type(value) is int for value in bounds)
            return {
                "range" if whole else "arange": bounds if whole or len(bounds) > 2 else [*bounds, 1]
            }
    return None


def _split(text: str) -> Iterator[str]:
    """Split at commas outside of quotes and brackets."""
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[place - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def _scalar(text: str) -> Any:
    """A value of Hydra's grammar; lists and mappings stay texts, which the program reads again."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    try:
        return yamltext.scalar(text) if text else ""
    except ValueError:
        return text
