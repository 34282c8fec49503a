"""The command line: parse, call one verb, print, exit code.

`commands` has a module for each command and the table of all; `group` loads the one that is
called; `options` are those that several share; `render` is what people see.
"""

# ruff: noqa: E402  # the first import of a library may fail, and what that means is told
from hpcsweep import program

program.begin()

from hpcsweep.cli.group import main

__all__ = ["main"]
