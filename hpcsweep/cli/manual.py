"""What click knows of each command, as text: manual pages and the reference of the site.

The build of the wheel makes the manual pages (`packaging/build_hook.py`); no command imports this.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from hpcsweep import __version__
from hpcsweep.cli.examples import examples_of
from hpcsweep.cli.group import main

PROGRAM = "hpcsweep"
# man's section of programs.
SECTION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandEntry:
    """The help of one command in its parts."""

    # `hpcsweep db start`.
    name: str
    # The arguments behind the name, as in `[OPTIONS] SWEEP`.
    usage: str
    # Paragraphs; the first is the line in the list of commands.
    text: tuple[str, ...]
    # Options or, of a group, subcommands, each with its meaning.
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


def entries() -> Iterator[CommandEntry]:
    """The program, and all commands that are not hidden, in the order of `hpcsweep --help`."""
    return _walk(main, (PROGRAM,), None)


def manual_pages() -> dict[str, str]:
    """The manual page of each command by the name of its file: `hpcsweep-db-start.1`."""
    return {f"{_page_name(one.name)}.{SECTION}": _manual_page(one) for one in entries()}


def _page_name(name: str) -> str:
    return name.replace(" ", "-")


def _walk(
    command: click.Command, words: tuple[str, ...], parent: click.Context | None
) -> Iterator[CommandEntry]:
    context = click.Context(command, info_name=words[-1], parent=parent)
    children: list[tuple[str, click.Command]] = []
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                children.append((name, child))
    records = (option.get_help_record(context) for option in command.get_params(context))
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    yield CommandEntry(
        name=" ".join(words),
        usage=" ".join(command.collect_usage_pieces(context)),
        text=tuple(" ".join(paragraph.split()) for paragraph in paragraphs),
        # Newer versions of click have a record for an argument, too, without a meaning.
        options=tuple(record for record in records if record is not None and record[1]),
        commands=tuple((name, child.get_short_help_str(200)) for name, child in children),
        examples=tuple(examples_of(command.epilog)),
    )
    for name, child in children:
        yield from _walk(child, (*words, name), context)


def _manual_page(entry: CommandEntry) -> str:
    """A page in the language of man(7)."""
    name = _page_name(entry.name)
    first, *further = entry.text
    lines = [
        f'.TH "{_roff(name.upper())}" "{SECTION}" "" "hpcsweep {__version__}" "hpcsweep"',
        *(".SH NAME", f"{_roff(name)} \\- {_roff(first.rstrip('.'))}"),
        *(".SH SYNOPSIS", f".B {_roff(entry.name)}", _roff(entry.usage)),
    ]
    if further:
        lines += [".SH DESCRIPTION", *(f".PP\n{_roff(text)}" for text in further)]
    for title, rows in (("OPTIONS", entry.options), ("COMMANDS", entry.commands)):
        if rows:
            lines += [f".SH {title}"]
            lines += [f".TP\n.B {_roff(left)}\n{_roff(right)}" for left, right in rows]
    if entry.examples:
        lines += [".SH EXAMPLES", ".nf", *map(_roff, entry.examples), ".fi"]
    words = entry.name.split(" ")
    related = [f"{name}-{child}" for child, _ in entry.commands]
    related += ["-".join(words[:count]) for count in range(1, len(words))]
    see = ",\n".join(f".BR {_roff(other)} ({SECTION})" for other in related)
    return "\n".join([*lines, ".SH SEE ALSO", see, ""])


def _roff(text: str) -> str:
    """Text in which roff finds no request, no escape and no hyphen that it would change."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
