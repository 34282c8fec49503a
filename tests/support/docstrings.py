"""The examples in docstrings of public names; a program that runs them in the working directory.

The directory has the page's `model.py`. Examples know the sweep `swing`, which is over, as `sweep`,
an executor whose calls are over as `executor`, a store of squares as `store`, and a run as `log`.
A cluster is emulated.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hpcsweep as hs

# SQLAlchemy's own, and no object.
FOREIGN = {"Mapped", "__version__", "mapped_column"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_values() -> Iterator[tuple[str, Any]]:
    """Classes and functions by their public names."""
    for name in hs.__all__:
        value = getattr(hs, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that hpcsweep defines of a class, also of its bases."""
    seen = set[str]()
    for owner in kind.__mro__:
        if not owner.__module__.startswith("hpcsweep"):
            continue
        for name, value in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            if isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(
                value
            ):
                yield name, value


def documented() -> Iterator[tuple[str, str]]:
    """All docstrings of public names, and of the members of public classes."""
    for name, value in public_values():
        yield name, inspect.getdoc(value) or ""
        if inspect.isclass(value):
            for member, what in members(value):
                # One that overrides another without a docstring has that one's.
                of = getattr(value, member) if isinstance(what, classmethod) else what
                yield f"{name}.{member}", inspect.getdoc(of) or ""


class Number(hs.Base):
    """The records of the examples' store."""

    __tablename__ = "numbers"
    x: hs.Mapped[int]


def _square(params: dict[str, Any]) -> None:
    Path(params["result_file"]).write_text(str(params["x"] ** 2))


def prepared() -> hs.Executor:
    """Run the sweep `swing`; returns the executor, so that one wait is enough for both.

    It caches: an example that calls the same again waits for no task. Its root is empty: a module
    below it that an example imports would make the calls new.
    """
    cases = hs.grid(omega=[1.0, 2.0, 9.0], dt=[0.01])
    sweep = hs.Sweep("swing", cases, target="model.py:simulate", seed=42, cluster="emulated")
    sweep.submit()
    Path("calls").mkdir()
    executor = hs.Executor("powers", cluster="emulated", root="calls", cache=True)
    list(executor.map(pow, [2, 3], [5, 2]))
    with contextlib.suppress(hs.Incomplete):
        sweep.wait()
    return executor


def main() -> int:
    """Run the examples of all docstrings, each with names of its own; 1 if any fails."""
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS)
    executor, store = prepared(), hs.Store(_square, Number, "results", ".txt")
    sweep, log = hs.Sweep("swing"), hs.Logbook("shown")
    # A method that many classes inherit runs once.
    for text, name in {text: name for name, text in documented() if ">>>" in text}.items():
        names = {"hs": hs, "sweep": sweep, "executor": executor, "store": store, "log": log}
        runner.run(parser.get_doctest(text, names, name, None, 0))
    tried, failed = runner.tries, runner.failures
    sys.stdout.write(f"{tried} examples, {failed} failures\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
