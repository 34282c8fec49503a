"""The commands: one module each, found in one table, loaded when called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcsweep.cli import commands, main

TOY = '''\
import click

from hpcsweep.cli.options import common, context


@click.command("toy")
@click.argument("word")
@common
def command(word, **shared):
    """Say where sweeps are, and a word.

    More of it.
    """
    click.echo(f"{context(**shared).outputs}: {word}")
'''
HEAVY = {"jinja2", "numpy", "pydantic", "rich", "sqlalchemy", "submitit", "yaml"}
# What each of them may load of hpcsweep: the group, its table, and the options of one command.
LIGHT = {
    "--version": ["--version"],
    "--help": ["--help"],
    "a command's help": ["submit", "--help"],
}


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == commands.COMMANDS[name][1]


def test_a_command_is_one_module_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_command.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(commands.COMMANDS, "toy", ("toy_command", "Say where sweeps are."))
    run = CliRunner().invoke
    assert run(main, ["toy", "hello", "--outputs", "there"]).output == "there: hello\n"
    assert "toy       Say where sweeps are." in run(main, ["--help"]).output
    assert "More of it." in run(main, ["toy", "--help"]).output


@pytest.mark.parametrize("arguments", LIGHT.values(), ids=LIGHT)
def test_help_loads_no_library(arguments: list[str]) -> None:
    assert loaded(arguments, {}) & HEAVY == set()


def loaded(arguments: list[str], env: dict[str, str]) -> set[str]:
    """The top-level modules that a call of the command line has loaded when it ends."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})),"
        " file=sys.stderr))\n"
        f"sys.argv = {['hpcsweep', *arguments]}\n"
        "from hpcsweep.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(found)
