"""Cells of a notebook: run as IPython runs them, with their source known to Python."""

from __future__ import annotations

import itertools
import linecache
import sys
import textwrap
from types import ModuleType
from typing import Any

_NUMBERS = itertools.count(1)


class Notebook:
    """A `__main__` without a file, as a kernel has; `run` runs a cell in it."""

    def __init__(self) -> None:
        self.main = ModuleType("__main__")

    def run(self, text: str) -> None:
        """Run a cell. Its module is `__main__` meanwhile."""
        name, text = f"<ipython-input-{next(_NUMBERS)}>", textwrap.dedent(text)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec", dont_inherit=True), vars(self.main))  # noqa: S102

    def __getitem__(self, name: str) -> Any:
        return vars(self.main)[name]


if __name__ == "__main__":  # a program whose cells are its arguments
    here = sys.modules["__main__"]
    del here.__file__
    sys.path[0] = ""  # the working directory, as for a kernel
    notebook = Notebook()
    notebook.main = here
    for cell in sys.argv[1:]:
        notebook.run(cell)
