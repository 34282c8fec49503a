"""The methods of `Sweep` have the names of commands, their parameters those of options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import click
import pytest

import hpcsweep as hs
from hpcsweep.cli import commands, main
from hpcsweep.tables.request import TableArguments

# Commands that are no verbs of a sweep.
NOT_OF_A_SWEEP = {"completion", "db", "emulator", "import", "init", "schema"}
# Verbs of another name: `list` is a type, and `rm` no word.
OTHERWISE_NAMED: dict[str, Callable[..., Any]] = {"list": hs.list_sweeps, "rm": hs.Sweep.remove}
# Options of every command: the constructor has them, or Python's logging.
COMMON = {"cluster", "json", "log_file", "outputs", "profile", "set", "verbose"}
# What Python says in another way.
OTHERWISE_SAID: dict[str, dict[str, str]] = {
    "collect": {"wide": "print", "vertical": "print"},
    "files": {"paths": "CaseFile.path"},
    "logs": {"follow": "follow_log"},
    "plan": {"script": "Planned.submissions"},
    "retry": {"wait": "wait"},
    "rm": {"yes": "it does not ask"},
    "run": {"pdb": "the target is called under pdb"},
    "status": {"watch": "wait(progress=True)"},
    "submit": {
        "chaos": "a test of hpcsweep on the emulated cluster",
        "dry_run": "plan(ask=True)",
        "parsable": "Submitted.arrays",
        "script": "Planned.submissions",
        "wait": "wait",
    },
}
# Arguments and parameters of one meaning.
SAME: dict[str, dict[str, str]] = {"compare": {"b": "other"}, "copy": {"directory": "to"}}
# What only Python has: `plan` is `submit --dry-run`, too.
ONLY_IN_PYTHON: dict[str, set[str]] = {
    "doctor": {"cluster"},
    "plan": {"ask", "canary", "rerun", "throttle"},
    # `report --diff demo@1 demo@2`: the sweep of a method has no `@2`.
    "report": {"submission"},
}
VERBS = sorted(set(commands.COMMANDS) - NOT_OF_A_SWEEP)


def method(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = OTHERWISE_NAMED.get(name) or getattr(hs.Sweep, name)
    return found


def parameters(called: Callable[..., Any]) -> set[str]:
    """The names of parameters, with those that a TypedDict describes."""
    found = inspect.signature(called).parameters.values()
    names = {one.name for one in found if one.kind is not one.VAR_KEYWORD}
    if any(one.kind is one.VAR_KEYWORD for one in found):
        names |= set(TableArguments.__annotations__)
    return names - {"self", "notify"}


def options(name: str) -> set[str]:
    """The names of options and of arguments but the first, which is the sweep."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    arguments = [one.name or "" for one in command.params if isinstance(one, click.Argument)]
    names = set(arguments if name == "list" else arguments[1:])
    for one in command.params:
        if isinstance(one, click.Option) and not one.hidden:
            long = max(one.opts, key=len).removeprefix("--")
            names.add(long.removeprefix("no-").replace("-", "_"))
    return names


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_has_the_options_of_its_command(name: str) -> None:
    same = SAME.get(name, {})
    told = {same.get(option, option) for option in options(name)}
    said = OTHERWISE_SAID.get(name, {})
    assert set(said) <= told
    expected = told - COMMON - set(said)
    assert parameters(method(name)) - ONLY_IN_PYTHON.get(name, set()) == expected


# What is no record: rows and tables, paths, and a count.
PLAIN = {
    *(
        "copy",
        "remove",
        "rename",
        "view",
        "collect",
        "query",
        "cases",
        "case",
        "to_dataframe",
        "to_arrow",
    ),
    *("archive", "report", "unpack", "ingest", "path", "name", "n_cases", "is_submitted"),
}


def test_what_a_verb_returns_is_a_public_record() -> None:
    verbs = [name for name in dir(hs.Sweep) if not name.startswith("_") and name not in PLAIN]
    assert "cancel" in verbs
    for name in verbs:
        returned = str(inspect.signature(getattr(hs.Sweep, name)).return_annotation)
        kinds = set(re.findall(r"[A-Z]\w+", returned)) - {"Iterator"}
        assert kinds, name
        for kind in kinds:
            assert hasattr(getattr(hs, kind), "to_json"), f"{name} returns {returned}"


def test_verbs_of_the_table_are_methods() -> None:
    wanted = (
        "plan validate submit advance wait status collect query to_dataframe to_arrow files logs "
        "run plot report cancel retry check doctor"
    )
    assert [name for name in wanted.split() if not hasattr(hs.Sweep, name)] == []
    assert set(OTHERWISE_SAID) | set(ONLY_IN_PYTHON) | set(SAME) <= set(VERBS)
