"""The command line: parse, call one verb, print, exit code.

`commands` has a module for each command and the table of all; `group` imports the called one;
`options` are shared by several commands; `render` prints results for people.
"""

# ruff: noqa: E402  # `begin` first: it explains a failed import of a library
from hpcsweep import program

program.begin()

from hpcsweep.cli.group import main

__all__ = ["main"]
