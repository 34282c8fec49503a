"""The command line: parse, call one verb, print, exit code.

`commands` has a module for each command and the table of all; `group` imports the called one;
`options` are shared by several commands; `render` prints results for people.
"""

# ruff: noqa: E402  # `begin` first: it explains a failed import of a library
import atexit
import gc

from hpcsweep import program

program.begin()
# The modules of a command make up to 200,000 objects that stay (CPython's default is a collection
# every 700): 130 collections among them find nothing, and take a twentieth of the time of `status`.
gc.set_threshold(300_000)
# Leave them out of the collections with which Python ends: these take a quarter of the time of
# `status`, and what they free the kernel frees at once.
atexit.register(gc.freeze)

from hpcsweep.cli.group import main

__all__ = ["main"]
