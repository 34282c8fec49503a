"""Refuse submissions while a user's module is being imported: each task would repeat them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import FrameType

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


def missing_module_advice(error: BaseException) -> str:
    """What to do about a module that is missing here, after a space; empty for other errors."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    missing = f"{error.name!r}" if error.name else "it"
    other = _activated_python()
    into = other or "PYTHON"
    whose = "which `setup:` or your shell activated" if other else "PYTHON of the environment"
    return (
        f" The target is run by {sys.executable}, the interpreter that hpcsweep is installed in; "
        f"`setup:` does not change that. Where another environment has {missing} ({whose}), "
        f"install hpcsweep into it, `{into} -m pip install hpcsweep`, and submit with "
        f"`{into} -m hpcsweep`; or install {missing} here, "
        f"`{sys.executable} -m pip install …`."
    )


def _activated_python() -> str | None:
    """The interpreter of an activated environment, if it differs from this one."""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(name)
        if prefix and os.path.realpath(prefix) != os.path.realpath(sys.prefix):
            return f"{prefix}/bin/python"
    return None


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
