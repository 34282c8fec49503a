"""Restore the state of the import between cases that share a process.

`ProcessState` is what every case begins with: seeded generators, the environment, signal handlers,
umask, limits and CPUs. `ModuleValues` are the plain values, lists, dicts, sets and small arrays of
the user's modules; it also names everything else there that a case changed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stub of it
import contextlib
import io
import os
import pickle
import resource
import signal
import sys
import warnings
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcsweep.target import user_modules
from hpcsweep.worker.inherited import RandomStates

# Size limit of a global that is compared: a larger one would cost each case too much time.
COMPARED_MAX = 1 << 20
# The limits of a process that a program may lower for itself.
_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CORE,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)
_SIGNALS = sorted(signal.valid_signals())
_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset, type(None))


class _TooLarge(Exception):
    """The value is larger than `COMPARED_MAX`."""


class ProcessState:
    """The state of the process after the import."""

    def __init__(self, random_states: RandomStates) -> None:
        self._random_states = random_states
        self._environment = dict(os.environ)
        self._handlers = _handlers()
        shared: list[Any] = [sys.path, sys.argv, warnings.filters]
        self._lists = [(values, list(values)) for values in shared]
        self._recursion = sys.getrecursionlimit()
        self._umask = os.umask(0o77)
        os.umask(self._umask)
        self._limits = {number: resource.getrlimit(number) for number in _LIMITS}
        self._cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def restore(self) -> None:
        """Undo the changes of the last case, as far as possible."""
        self._random_states.restore()
        if os.environ != self._environment:
            for name in os.environ.keys() - self._environment.keys():
                del os.environ[name]
            os.environ.update(self._environment)
        if (handlers := _handlers()) != self._handlers:
            for number, handler in self._handlers.items():
                if handlers.get(number) != handler:
                    with contextlib.suppress(OSError, ValueError):  # KILL and STOP have no handler
                        signal.signal(number, handler)
        for shared, as_it_was in self._lists:
            shared[:] = as_it_was
        sys.setrecursionlimit(self._recursion)
        os.umask(self._umask)
        for number, limits in self._limits.items():
            with contextlib.suppress(OSError, ValueError):  # no process may raise a hard limit
                resource.setrlimit(number, limits)
        if self._cpus is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._cpus)


def _handlers() -> dict[int, Any]:
    """The handlers of all signals that have one which Python knows."""
    # Of the C module: `signal.getsignal` makes an enum of each handler, which takes thirty times
    # as long, for every case.
    handlers = {number: _signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler is not None}


class ModuleValues:
    """The values of the user's modules and classes after the import."""

    def __init__(self, obstacles: list[str], root: Path, task_stderr: int) -> None:
        """`obstacles`: why the process cannot be forked."""
        self._obstacles, self._task_stderr = obstacles, task_stderr
        # The user's modules and classes, and the value of each of their names.
        self._namespaces = [(space, dict(vars(space))) for space in _namespaces(root)]
        self._contents = [(value, _copy_of(value)) for _, value in self._values()]
        self._initial_checksums = self._checksums()
        # Names that a warning has mentioned already.
        self._warned: set[str] = set()

    def restore(self) -> None:
        """Undo the changes of the last case, as far as possible."""
        for space, saved in self._namespaces:
            for name in vars(space).keys() - saved.keys():
                delattr(space, name)
            for name, value in saved.items():
                if vars(space).get(name, self) is not value:
                    setattr(space, name, value)
        for value, copy in self._contents:
            _restore_value(value, copy)

    def warn_of_changes(self) -> None:
        """Warn once about each global that a case changed and that `restore` did not."""
        initial = self._initial_checksums
        changed = {name for name, sum_ in self._checksums().items() if initial.get(name) != sum_}
        new = changed - self._warned
        if not self._warned:
            self._warn(
                "the cases of this task share one process, because it cannot be forked "
                f"({', '.join(self._obstacles)}). Random numbers, environment and plain globals "
                "are restored for each"
            )
            self._warned.add("")
        if new:
            self._warned |= new
            self._warn(
                f"a case has changed {', '.join(sorted(new))} for the cases behind it, and results "
                "may depend on `chunk`. Make it anew in the function, or open and start what "
                "cannot be forked there"
            )

    def _warn(self, what: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._task_stderr, f"hpcsweep: {what}.\n".encode(errors="backslashreplace"))

    def _values(self) -> Iterator[tuple[str, Any]]:
        """The values of the user's modules and classes after the import, by full name."""
        for space, saved in self._namespaces:
            for name, value in saved.items():
                if not name.startswith("__"):
                    yield f"{_name(space)}.{name}", value

    def _checksums(self) -> dict[str, int | None]:
        """A checksum of each value, except plain ones, functions, classes and modules."""
        return {
            name: _checksum(value)
            for name, value in self._values()
            if not callable(value) and not isinstance(value, (*_PLAIN, ModuleType))
        }


def _namespaces(root: Path) -> list[Any]:
    modules = list(user_modules(root).values())
    classes = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    return [*modules, *classes.values()]


def _name(space: ModuleType | type) -> str:
    if isinstance(space, ModuleType):
        return space.__name__
    return f"{space.__module__}.{space.__qualname__}"


def _copy_of(value: Any) -> Any:
    """A copy of a value that can be restored; None of any other."""
    if type(value) in (list, dict, set, bytearray):
        return value.copy()
    if type(value).__module__ == "numpy" and getattr(value, "nbytes", COMPARED_MAX) < COMPARED_MAX:
        return value.copy()
    return None


def _restore_value(value: Any, copy: Any) -> None:
    if copy is None:
        return
    if isinstance(value, (list, bytearray)):
        value[:] = copy
    elif isinstance(value, (dict, set)):
        value.clear()
        value.update(copy)
    else:
        with contextlib.suppress(TypeError, ValueError):  # read-only, or its shape changed
            value[...] = copy


class _ChecksumSink(io.RawIOBase):
    """A file that keeps only the checksum of what is written."""

    def __init__(self) -> None:
        self.size, self.sum = 0, 0

    def write(self, data: Any, /) -> int:
        """*Raises* _TooLarge."""
        self.sum = crc32(data, self.sum)
        length = memoryview(data).nbytes
        self.size += length
        if self.size > COMPARED_MAX:
            raise _TooLarge
        return length


def _checksum(value: Any) -> int | None:
    sink = _ChecksumSink()
    try:
        pickle.dump(value, sink, protocol=4)
    # A user's class may raise anything: such a value is not compared.
    except Exception:  # noqa: BLE001
        return None
    return sink.sum
