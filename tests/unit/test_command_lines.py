"""Every command line of hpcsweep in the documentation is one that click accepts."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.support.command_lines import PAGES, check_accepted, command_lines, words_of

# What a sentence says for any of several words, and one of them.
FOR_ANY = {"COMMAND": "advance", "schema NAME": "schema status"}


def one_of(line: str) -> str:
    """A command line with a word for each placeholder: the first of `a|b|c`."""
    for placeholder, word in FOR_ANY.items():
        line = line.replace(placeholder, word)
    return re.sub(r"(?<= )([a-z]+)(?:\|[a-z]+)+", r"\1", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_lines_of_a_page_are_accepted(page: Path) -> None:
    for line in command_lines(page.read_text()):
        try:
            check_accepted(words_of(one_of(line)), whole=False)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


def test_the_pages_have_command_lines() -> None:
    lines = [line for page in PAGES for line in command_lines(page.read_text())]
    assert len(lines) > 200


@pytest.mark.parametrize(
    "line", ["hpcsweep gird", "hpcsweep submit m.yaml --trottle 3", "hpcsweep plot s --kind pie"]
)
def test_a_wrong_command_line_is_refused(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_accepted(words_of(line), whole=False)
