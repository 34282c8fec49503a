"""Command lines of hpcsweep in examples and on pages: whether click accepts them."""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from hpcsweep.cli import main
from tests.support.console_blocks import commands, fenced, without_fenced

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
_INLINE = re.compile(r"`(hpcsweep [^`]+)`")
# At the start of a line, behind another command, or in `$(…)`.
_CALL = re.compile(r"(?:^|&& |; )(hpcsweep .*)|\$\((hpcsweep [^)]*)\)")
_ENDS = frozenset({">", "|", ";", "&&"})


def typed_lines(text: str) -> Iterator[str]:
    """The lines of a page that a reader types into a shell."""
    for block in fenced(text):
        if block.language == "console":
            yield from (command for command, _ in commands(block.content))
        elif block.language in {"sh", "bash"} and not block.name:
            yield from block.content.splitlines()


def command_lines(text: str) -> Iterator[str]:
    """The command lines of hpcsweep on a page: in its shell blocks, and in its sentences."""
    for line in typed_lines(text):
        yield from calls(line)
    yield from _INLINE.findall(without_fenced(text))


def calls(line: str) -> Iterator[str]:
    """The calls of hpcsweep in a line of a shell."""
    for call in _CALL.finditer(line):
        yield call[1] or call[2]


def words_of(line: str) -> list[str]:
    """The arguments of the first command in a line, without comment and redirection."""
    words = shlex.split(line, comments=True)
    return list(itertools.takewhile(lambda word: word not in _ENDS, words))[1:]


def check_accepted(words: Sequence[str], *, whole: bool = True) -> None:
    """Fail unless click accepts a command line; one that is not whole may lack words at its end.

    *Raises* UsageError.
    """
    command: click.Command = main
    context: click.Context | None = None
    rest = list(words)
    with contextlib.ExitStack() as stack:
        if not whole:
            stack.enter_context(_may_lack_words())
        # What asks for a text, such as --help, prints it and exits.
        stack.enter_context(contextlib.suppress(click.exceptions.Exit))
        while isinstance(command, click.Group):
            if not rest and not whole:
                return
            context = command.make_context(command.name, list(rest), parent=context)
            _, rest, _ = command.make_parser(context).parse_args(rest)
            if not rest:
                return
            _, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command = found
        command.make_context(command.name, rest, parent=context)


@contextlib.contextmanager
def _may_lack_words() -> Iterator[None]:
    try:
        yield
    except click.MissingParameter:
        pass
    except click.BadOptionUsage as error:
        if "requires an argument" not in error.message:
            raise
