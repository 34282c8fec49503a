"""Examples, manual pages and the reference of commands: made from what click knows."""

from __future__ import annotations

import re
import shutil
import subprocess

import click
import pytest

from hpcsweep.cli import main
from hpcsweep.cli.manual import entries, manual_pages
from tests.support.command_lines import calls, check_accepted, words_of

ENTRIES = list(entries())
EXAMPLES = [example for one in ENTRIES[1:] for example in one.examples]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_line(example: str) -> None:
    (line,) = calls(example)
    check_accepted(words_of(line))


def test_help_ends_with_the_examples() -> None:
    context = click.Context(main)
    command = main.get_command(context, "collect")
    assert command is not None
    shown = command.get_help(click.Context(command, info_name="collect", parent=context))
    assert "Examples:\n    hpcsweep collect demo --format csv" in shown


def test_output_is_o_everywhere() -> None:
    shown = [name for one in ENTRIES for name, _ in one.options if "--output " in name]
    assert shown == ["-o, --output FILE"] * 5


def test_man_formats_every_page_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("there is no groff")
    pages = manual_pages()
    assert len(pages) == len(ENTRIES)
    for name, page in pages.items():
        done = subprocess.run(
            [groff, "-man", "-Tutf8", "-ww", "-k"],
            input=page,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "", name
        assert "SYNOPSIS" in re.sub(".\b", "", done.stdout)  # bold is overstruck
