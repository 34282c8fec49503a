"""Cases that share a process, because it cannot be forked: what one changes the next does not see.

Restored is what can be: seeded generators, the environment, handlers of signals, and the plain
values, lists, dicts, sets and small arrays of the user's modules. The rest is named in a warning.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
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

# Bytes of one global that are compared: more would cost each case too much time.
COMPARED_MAX = 1 << 20
_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset, type(None))


class _TooLarge(Exception):
    """The value is larger than what is compared."""


class StateRestorer:
    """The state that the import left, and what cases have changed of it."""

    def __init__(
        self, random_states: RandomStates, obstacles: list[str], root: Path, task_stderr: int
    ) -> None:
        self._random_states, self._obstacles = random_states, obstacles
        self._task_stderr = task_stderr
        self._environment = dict(os.environ)
        self._handlers = {
            number: handler
            for number in signal.valid_signals()
            if (handler := signal.getsignal(number)) is not None
        }
        shared: list[Any] = [sys.path, sys.argv, warnings.filters]
        self._lists = [(one, list(one)) for one in shared]
        self._recursion = sys.getrecursionlimit()
        # The user's modules and classes, and what each of their names meant.
        self._spaces = [(space, dict(vars(space))) for space in _spaces(root)]
        self._contents = [(value, _copied(value)) for _, value in self._values()]
        self._marks = self._marked()
        # What has been warned of already.
        self._warned: set[str] = set()

    def restore(self) -> None:
        """Put back what the last case changed, as far as that can be done."""
        self._random_states.restore()
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                with contextlib.suppress(OSError, ValueError):  # KILL and STOP have none
                    signal.signal(number, handler)
        for shared, as_it_was in self._lists:
            shared[:] = as_it_was
        sys.setrecursionlimit(self._recursion)
        for space, meant in self._spaces:
            for name in vars(space).keys() - meant.keys():
                delattr(space, name)
            for name, value in meant.items():
                if vars(space).get(name, self) is not value:
                    setattr(space, name, value)
        for value, copy in self._contents:
            _put_back(value, copy)

    def warn_of_changes(self) -> None:
        """Warn once of each global that a case changed and that cannot be put back."""
        self.restore()
        now = self._marked()
        new = {name for name, mark in now.items() if self._marks.get(name) != mark} - self._warned
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
        """What the user's modules and classes named when they had been imported."""
        for space, meant in self._spaces:
            for name, value in meant.items():
                if not name.startswith("__"):
                    yield f"{_name(space)}.{name}", value

    def _marked(self) -> dict[str, int | None]:
        """A checksum of each value that is not plain, and no function, class or module."""
        return {
            name: _mark(value)
            for name, value in self._values()
            if not callable(value) and not isinstance(value, (*_PLAIN, ModuleType))
        }


def _spaces(root: Path) -> list[Any]:
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


def _copied(value: Any) -> Any:
    """A copy of what can be put back; None of what cannot."""
    if type(value) in (list, dict, set, bytearray):
        return value.copy()
    if type(value).__module__ == "numpy" and getattr(value, "nbytes", COMPARED_MAX) < COMPARED_MAX:
        return value.copy()
    return None


def _put_back(value: Any, copy: Any) -> None:
    if copy is None:
        return
    if isinstance(value, list | bytearray):
        value[:] = copy
    elif isinstance(value, dict | set):
        value.clear()
        value.update(copy)
    else:
        with contextlib.suppress(TypeError, ValueError):  # read-only, or of another shape now
            value[...] = copy


class _Sum(io.RawIOBase):
    """Takes a pickle and keeps its checksum alone."""

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


def _mark(value: Any) -> int | None:
    found = _Sum()
    try:
        pickle.dump(value, found, protocol=4)
    # Whatever a user's class raises there: then nothing is known of it.
    except Exception:  # noqa: BLE001
        return None
    return found.sum
