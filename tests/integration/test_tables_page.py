"""docs/how-to/tables.md: every table and message of it is what a terminal of 80 columns shows."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from tests.support.clusters import emulated
from tests.support.console_blocks import blocks, commands, looks_like
from tests.support.here import Here, here
from tests.support.terminal import on_terminal

__all__ = ["emulated", "here"]

PAGE = Path(__file__).parents[2] / "docs/how-to/tables.md"


def printed(here: Here, command: str) -> str:
    """What a command of the page prints."""
    program, *arguments = shlex.split(command)
    if program != "hpcsweep":
        return subprocess.check_output([program, *arguments], text=True)
    if arguments[0] == "submit":  # which draws a progress on a terminal
        output = here.cli(*arguments, code=9).output
        here.tasks_end()
        return output
    return on_terminal(arguments, width=80).text


def test_console_blocks_show_the_real_output(here: Here) -> None:
    of = dict(reversed(blocks(PAGE.read_text())))
    here.write("manifest.yaml", of["yaml"])
    here.write("swing.py", of["python"])
    for language, content in blocks(PAGE.read_text()):
        for command, shown in commands(content) if language == "console" else ():
            text = printed(here, command)
            assert looks_like(shown, text), f"$ {command}\n{text}"
