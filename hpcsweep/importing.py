"""Import the user's modules: from the copies that a submission keeps, and without submitting.

A module imported from a copy has the `__file__` and `__path__` of its original, so that it finds,
and writes, the files beside it. Its tracebacks show the copy: the original may have been edited.

No submission is made while a user's module is being imported: each task would repeat it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FrameType, ModuleType

from hpcsweep.errors import TargetError
from hpcsweep.records import IN_TASK

# Environment variable with the module being imported; child processes inherit it.
IMPORTING = "HPCSWEEP_IMPORTING"


@contextlib.contextmanager
def importing(what: str) -> Iterator[None]:
    """Mark that a user's module is being imported, as a target or a source of cases."""
    before = os.environ.get(IMPORTING)
    os.environ[IMPORTING] = what
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(IMPORTING, None)
        else:
            os.environ[IMPORTING] = before


def refuse_while_importing(verb: str) -> None:
    """*Raises* TargetError if a module calls this verb whenever it is imported."""
    bodies = list(_module_bodies())
    where = bodies[0][1] if bodies else ""
    what = os.environ.get(IMPORTING) or (where if _imports_again(bodies) else "")
    if what:
        raise TargetError(
            f"{verb} was called while {what} is imported: every check and every task imports it, "
            "and would do the same again",
            where=where,
            next_step='Put the calls below `if __name__ == "__main__":`, where they happen only '
            "when the file is run as a program.",
        )


def missing_module_advice(error: BaseException, named: str | None) -> str:
    """What to do about a module that the target lacks, after a space; empty for other errors.

    `named` is the place of the key that names the target's interpreter; None for hpcsweep's own.
    """
    if not isinstance(error, ModuleNotFoundError):
        return ""
    missing = f"{error.name!r}" if error.name else "it"
    pip = f"`{sys.executable} -m pip install …`."
    if named is not None:
        by = f" The target is run by {sys.executable}, which {named} names:"
        return f"{by} install {missing} there, {pip}"
    other = _activated()
    activated = f"one is activated: write `python: {other}`" if other else ""
    return (
        f" The target is run by {sys.executable}, the interpreter that hpcsweep is installed in. "
        f"Where another environment has {missing}, name it by the "
        f"key `python:`{f' ({activated})' if activated else ''}; or install {missing} here, {pip}"
    )


def _activated() -> str | None:
    """The prefix or interpreter that is first on PATH, if it is not this one or the system's."""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(name)
        if prefix and os.path.realpath(prefix) != os.path.realpath(sys.prefix):
            return prefix
    import shutil  # noqa: PLC0415  # after an error only

    python = shutil.which("python3") or shutil.which("python")
    usual = [*os.defpath.split(os.pathsep), "/usr/local/bin", os.path.dirname(sys.executable)]  # noqa: PTH120
    return None if python is None or os.path.dirname(python) in usual else python  # noqa: PTH120


def _imports_again(bodies: list[tuple[str, str]]) -> bool:
    """Whether this is a process of a pool, which imports its parent's modules without our mark.

    Covers pools in tasks, and children of multiprocessing ("spawn"), during and after their start.
    """
    pool = sys.modules.get("multiprocessing.process")
    return (
        IN_TASK in os.environ
        or any(name == "__mp_main__" for name, _ in bodies)
        or (pool is not None and pool.parent_process() is not None)
    )


def _module_bodies() -> Iterator[tuple[str, str]]:
    """Name and `file:line` of modules on the stack that are being imported, innermost first."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # a public name
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "<module>" and name != "__main__":
            yield str(name), f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back


# --- from copies ----------------------------------------------------------------------------------


class CopyFinder:
    """A finder for `sys.meta_path` that prefers `<copy>/x.py` to `<root>/x.py`."""

    def __init__(self, root: str, copy: str) -> None:
        self._root, self._copy = root, copy

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, like Python's own finder; None for what a later finder may find."""
        for entry in sys.path if path is None else path:
            for place in self._places(entry):
                spec = PathFinder.find_spec(name, [place], target)
                # Without a loader it is a part of a namespace package; Python's finder joins them.
                if spec is not None and spec.loader is not None:
                    return self._renamed(spec)
        return None

    def spec_from_file(self, name: str, path: str) -> ModuleSpec | None:
        """The module of one file, whose copy may be kept."""
        if not path.startswith(self._root + "/"):
            return None
        copy = self._copy + path[len(self._root) :]
        if not os.path.isfile(copy):  # noqa: PTH113
            return None
        spec = ModuleSpec(name, SourceFileLoader(name, copy), origin=copy)
        spec.has_location = True
        return self._renamed(spec)

    def search_copies(self) -> None:
        """Put the copies on the search path before the originals.

        Other interpreters, such as those of a process pool, inherit it, and not this finder.
        """
        for position, entry in reversed([*enumerate(sys.path)]):
            copy, *original = self._places(entry)
            is_there = copy == self._copy or os.path.isdir(copy)  # noqa: PTH112
            if original and is_there and copy not in sys.path:
                sys.path.insert(position, copy)

    def _places(self, entry: str) -> Iterator[str]:
        """Where to search for an entry of a search path; the copy lies below the root, too."""
        is_original = (entry + "/").startswith(self._root + "/")
        if is_original and not entry.startswith(self._copy) and "/site-packages" not in entry:
            yield self._copy + entry[len(self._root) :]
        yield entry

    def _renamed(self, spec: ModuleSpec) -> ModuleSpec:
        """The same module with the places of the originals."""
        if spec.origin is not None and spec.origin.startswith(self._copy + "/"):
            spec.cached = spec.cached  # of the copy: it derives from `origin` later
            spec.origin = self._root + spec.origin[len(self._copy) :]
        places = spec.submodule_search_locations
        if places is not None:
            places[:] = [
                self._root + path[len(self._copy) :] if path.startswith(self._copy + "/") else path
                for path in places
            ]
        return spec


def copied_file(module: ModuleType) -> str | None:
    """The copy that a module was imported from; None if it was not imported from one."""
    spec = module.__spec__
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        return None
    path = str(spec.loader.path)
    return None if path == spec.origin else path
