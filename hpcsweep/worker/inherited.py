"""What a case's process takes over from the one that imported the user's code, and what it may not.

A fork is a copy, but for what the kernel shares and what must differ: positions in open files,
random numbers that nobody has seeded, handlers that end the process that made them.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import stat
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.files import names
from hpcsweep.worker import streams

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

# What an accelerator's driver opens: its state does not survive a fork.
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel", "/dev/infiniband/")


# --- whether the process can be forked --------------------------------------------------------


def fork_obstacles() -> list[str]:
    """Why a fork of this process would not work as it does itself; empty when it would."""
    return _threads() + _devices_and_connections()


def _threads() -> list[str]:
    if _count_threads() == 1:
        return []
    # Libraries that know about forks (OpenBLAS) end their threads before one, and start anew.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 and newer warn of threads
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    count = _count_threads() - 1
    if not count:
        return []
    threading = sys.modules.get("threading")
    named = [one.name for one in threading.enumerate()[1:]] if threading else []
    return [f"thread {name!r}" for name in named] or [f"{count} threads of a library"]


def _count_threads() -> int:
    threading = sys.modules.get("threading")
    count = len(names(Path("/proc/self/task")))
    return count or (threading.active_count() if threading else 1)


def _devices_and_connections() -> list[str]:
    found = set()
    for descriptor, mode in _descriptors().items():
        if stat.S_ISCHR(mode):
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            found |= {path} if path.startswith(_DEVICES) else set()
        elif stat.S_ISSOCK(mode) and (peer := _peer(descriptor)):
            found.add(f"a connection to {peer}")
    return sorted(found)


def _descriptors() -> dict[int, int]:
    """Open descriptors beyond standard error, and the modes of what they are open on."""
    found = {}
    for name in names(Path("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the directory itself
            found[int(name)] = os.fstat(int(name)).st_mode
    return {number: mode for number, mode in found.items() if number > 2}


def _peer(descriptor: int) -> str:
    """Whom a socket is connected to; "" for none, as in the pair that an event loop makes."""
    import socket  # noqa: PLC0415  # who has a socket has loaded it

    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as found:
        return str(found.getpeername() or "")
    return ""


# --- open files -------------------------------------------------------------------------------


class OpenFiles:
    """The regular files that the import left open: forks would share their positions."""

    def __init__(self, ours: set[int]) -> None:
        # Flags and position of each, by descriptor.
        self._found: dict[int, tuple[int, int]] = {}
        for descriptor, mode in _descriptors().items():
            if stat.S_ISREG(mode) and descriptor not in ours:
                flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
                position = os.lseek(descriptor, 0, os.SEEK_CUR)
                self._found[descriptor] = flags & (os.O_ACCMODE | os.O_APPEND), position

    def make_own(self) -> None:
        """Open them anew in a fork, at the positions that the import left."""
        for descriptor, (flags, position) in self._found.items():
            with contextlib.suppress(OSError):  # its permissions may have changed
                own = os.open(f"/proc/self/fd/{descriptor}", flags)
                os.lseek(own, position, os.SEEK_SET)
                os.dup2(own, descriptor, inheritable=os.get_inheritable(descriptor))
                os.close(own)


# --- random numbers ---------------------------------------------------------------------------


class RandomStates:
    """Which generators the user's import has seeded: they begin every case as the import left them.

    The others begin every case anew, as they do in every process: cases that shared their draws
    would not be independent. Made before the import, which it watches until it is settled.
    """

    def __init__(self) -> None:
        # What `secrets` gave out as seeds: numpy's generators remember theirs.
        self._drawn: set[Any] = set()
        # Instances of `random.Random`, and whether each was seeded last.
        self._seeded: dict[int, tuple[Any, bool]] = {}
        self._undo: list[Callable[[], None]] = []
        # Of Python's and of numpy's: generators with the states that the import left.
        self.states: list[tuple[Callable[[Any], None], Any]] = []
        # What gives a generator a new state.
        self._fresh: list[Callable[[], None]] = []
        # What gives the one behind `random.random()` its state, if that was seeded.
        self._give: Callable[[], None] = lambda: None
        for name, watch in self._watches.items():
            if name in sys.modules:
                watch(sys.modules[name])
        self._drawn |= {_entropy(one) for one in _bit_generators()}
        sys.meta_path.insert(0, self)

    @property
    def _watches(self) -> dict[str, Callable[[ModuleType], None]]:
        return {"random": self._watch_random, "secrets": self._watch_secrets}

    def find_spec(self, name: str, path: Any, _target: Any = None) -> ModuleSpec | None:
        """As importlib's finders: watch two modules from the moment they are there."""
        watch = self._watches.get(name)
        others = [finder for finder in sys.meta_path if finder is not self] if watch else []
        spec = next(filter(None, (finder.find_spec(name, path) for finder in others)), None)
        if watch is None or spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def loaded(module: ModuleType) -> None:
            load(module)
            watch(module)

        spec.loader.exec_module = loaded  # type: ignore[method-assign]
        return spec

    def _watch_random(self, module: Any) -> None:
        if not hasattr(module, "_inst"):  # a file of the user's has this name
            return
        kind, whole = module.Random, module._inst  # noqa: SLF001  # what its functions are bound to
        seed, setstate = kind.seed, kind.setstate

        def noted_seed(generator: Any, a: Any = None, version: int = 2) -> None:
            seed(generator, a, version)
            self._seeded[id(generator)] = generator, a is not None

        def noted_setstate(generator: Any, state: Any) -> None:
            setstate(generator, state)
            self._seeded[id(generator)] = generator, True

        bound = module.seed, module.setstate
        kind.seed, kind.setstate = noted_seed, noted_setstate
        module.seed = MethodType(noted_seed, whole)
        module.setstate = MethodType(noted_setstate, whole)

        def undo() -> None:
            kind.seed, kind.setstate = seed, setstate
            module.seed, module.setstate = bound
            # Python itself gives the one behind `random.random()` a new seed in each fork.
            self._seeded.setdefault(id(whole), (whole, False))
            for generator, seeded in self._seeded.values():
                if seeded:
                    self.states.append((generator.setstate, generator.getstate()))
                elif generator is not whole:
                    self._fresh.append(generator.seed)
            if self._seeded[id(whole)][1]:
                self._give = partial(whole.setstate, whole.getstate())

        self._undo.append(undo)

    def _watch_secrets(self, module: Any) -> None:
        if not hasattr(module, "randbits"):
            return
        randbits = module.randbits

        def noted(k: int) -> int:
            found: int = randbits(k)
            self._drawn.add(found)
            return found

        def undo() -> None:
            module.randbits = randbits

        module.randbits = noted
        self._undo.append(undo)

    def finish_import(self) -> None:
        """The import is over: note what it left."""
        sys.meta_path.remove(self)
        for undo in self._undo:
            undo()
        for generator in _bit_generators():
            entropy = _entropy(generator)
            if entropy is not None and entropy in self._drawn:
                self._fresh.append(partial(_renew, generator))
            else:
                self.states.append((partial(setattr, generator, "state"), generator.state))

    def restore_in_fork(self) -> None:
        """In a fork: whatever was seeded is as it was, and the rest is anew."""
        self._give()
        for renew in self._fresh:
            renew()

    def restore(self) -> None:
        """In the process that has run a case."""
        for give, state in self.states:
            give(state)


def _bit_generators() -> list[Any]:
    """All that numpy's generators draw from, also the one behind `numpy.random.random()`."""
    made_by: Any = sys.modules.get("numpy.random.bit_generator")
    if made_by is None:
        return []
    return [one for one in gc.get_objects() if isinstance(one, made_by.BitGenerator)]


def _entropy(generator: Any) -> Any:
    """What a generator of numpy's was made from; None after `numpy.random.seed`."""
    origin = getattr(generator, "seed_seq", None) or getattr(generator, "_seed_seq", None)
    entropy = getattr(origin, "entropy", None)
    return entropy if isinstance(entropy, int) else None


def _renew(generator: Any) -> None:
    generator.state = type(generator)().state


# --- the end of a process ---------------------------------------------------------------------


def clear_exit_handlers() -> None:
    """Drop in a fork the exit handlers of its parent, which has not ended."""
    atexit._clear()  # noqa: SLF001  # there is no public way, and the fork ends by os._exit


def finish_process() -> None:
    """End a fork as Python ends a program: join threads, call exit handlers, flush output."""
    threading = sys.modules.get("threading")
    # As the processes of multiprocessing, which end by os._exit, too.
    children = sys.modules.get("multiprocessing.util")
    logs = sys.modules.get("logging")
    for ending in (
        threading and threading._shutdown,  # noqa: SLF001
        atexit._run_exitfuncs,  # noqa: SLF001
        children and children._exit_function,  # noqa: SLF001
        logs and logs.shutdown,
        streams.flush,
        _flush_c if "ctypes" in sys.modules else None,
    ):
        # Python reports it on standard error; the case itself is over.
        with contextlib.suppress(BaseException):
            if ending:
                ending()


def _flush_c() -> None:
    """Write out what C code of this process has printed."""
    sys.modules["ctypes"].CDLL(None).fflush(None)
