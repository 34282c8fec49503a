"""The state that a forked case inherits from the import, and what a case leaves behind.

The kernel shares the positions of open files; unseeded generators would draw the same numbers in
every case; exit handlers of the parent would run in each fork.
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

# prctl(2), since Linux 3.4; a fork does not inherit it.
_PR_SET_CHILD_SUBREAPER = 36
# Devices of accelerators: the state of their drivers does not survive a fork.
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel", "/dev/infiniband/")


# --- whether the process can be forked --------------------------------------------------------


def fork_obstacles() -> list[str]:
    """Reasons why a fork would not behave like this process; empty if there are none."""
    return _threads() + _devices_and_connections()


def _threads() -> list[str]:
    if _count_threads() == 1:
        return []
    # Fork once: libraries with fork handlers (OpenBLAS) stop their threads before a fork.
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
    named = [thread.name for thread in threading.enumerate()[1:]] if threading else []
    return [f"thread {name!r}" for name in named] or [f"threads of a library: {count}"]


def _count_threads() -> int:
    threading = sys.modules.get("threading")
    count = len(names(Path("/proc/self/task")))
    return count or (threading.active_count() if threading else 1)


def _devices_and_connections() -> list[str]:
    names = set()
    for descriptor, mode in _descriptors().items():
        if stat.S_ISCHR(mode):
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            names |= {path} if path.startswith(_DEVICES) else set()
        elif stat.S_ISSOCK(mode) and (peer := _peer(descriptor)):
            names.add(f"a connection to {peer}")
    return sorted(names)


def _descriptors() -> dict[int, int]:
    """The open descriptors above standard error, with the modes of their files."""
    modes = {}
    for name in names(Path("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the directory itself
            modes[int(name)] = os.fstat(int(name)).st_mode
    return {number: mode for number, mode in modes.items() if number > 2}


def _peer(descriptor: int) -> str:
    """The peer of a socket; "" if it has none, like the socket pair of an event loop."""
    import socket  # noqa: PLC0415  # loaded already if there is a socket

    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as duplicate:
        return str(duplicate.getpeername() or "")
    return ""


# --- open files -------------------------------------------------------------------------------


class OpenFiles:
    """The regular files that the import left open, whose positions forks would share."""

    def __init__(self, ours: set[int]) -> None:
        # Flags and position of each, by descriptor.
        self._states: dict[int, tuple[int, int]] = {}
        for descriptor, mode in _descriptors().items():
            if stat.S_ISREG(mode) and descriptor not in ours:
                flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
                position = os.lseek(descriptor, 0, os.SEEK_CUR)
                self._states[descriptor] = flags & (os.O_ACCMODE | os.O_APPEND), position

    def make_own(self) -> None:
        """Reopen them in a fork, at the positions that the import left."""
        for descriptor, (flags, position) in self._states.items():
            with contextlib.suppress(OSError):  # its permissions may have changed
                own = os.open(f"/proc/self/fd/{descriptor}", flags)
                os.lseek(own, position, os.SEEK_SET)
                os.dup2(own, descriptor, inheritable=os.get_inheritable(descriptor))
                os.close(own)


# --- random numbers ---------------------------------------------------------------------------


class RandomStates:
    """The random generators of the import: seeded ones keep their state, others get a new seed.

    Cases that shared the draws of an unseeded generator would not be independent. Make one before
    the import, and call `finish_import` after it.
    """

    def __init__(self) -> None:
        # Numbers drawn from `secrets`: a numpy generator with such an entropy was not seeded.
        self._drawn: set[Any] = set()
        # Instances of `random.Random`, and whether the last seed of each was given.
        self._seeded: dict[int, tuple[Any, bool]] = {}
        self._undo: list[Callable[[], None]] = []
        # Setter and state after the import of each seeded generator, Python's and numpy's.
        self.states: list[tuple[Callable[[Any], None], Any]] = []
        # Give each unseeded generator a new seed.
        self._reseed: list[Callable[[], None]] = []
        # Restores the generator behind `random.random()`, if it was seeded.
        self._restore_global: Callable[[], None] = lambda: None
        for name, watch in self._watches.items():
            if name in sys.modules:
                watch(sys.modules[name])
        self._drawn |= {_entropy(generator) for generator in _bit_generators()}
        sys.meta_path.insert(0, self)

    @property
    def _watches(self) -> dict[str, Callable[[ModuleType], None]]:
        return {"random": self._watch_random, "secrets": self._watch_secrets}

    def find_spec(self, name: str, path: Any, _target: Any = None) -> ModuleSpec | None:
        """Implement importlib's finder: watch two modules from their import on."""
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
        if not hasattr(module, "_inst"):  # a user's file with this name
            return
        # The global generator, to which the module's functions are bound.
        kind, shared = module.Random, module._inst  # noqa: SLF001
        seed, setstate = kind.seed, kind.setstate

        def noted_seed(generator: Any, a: Any = None, version: int = 2) -> None:
            seed(generator, a, version)
            self._seeded[id(generator)] = generator, a is not None

        def noted_setstate(generator: Any, state: Any) -> None:
            setstate(generator, state)
            self._seeded[id(generator)] = generator, True

        bound = module.seed, module.setstate
        kind.seed, kind.setstate = noted_seed, noted_setstate
        module.seed = MethodType(noted_seed, shared)
        module.setstate = MethodType(noted_setstate, shared)

        def undo() -> None:
            kind.seed, kind.setstate = seed, setstate
            module.seed, module.setstate = bound
            # Python reseeds the global generator in each fork by itself.
            self._seeded.setdefault(id(shared), (shared, False))
            for generator, seeded in self._seeded.values():
                if seeded:
                    self.states.append((generator.setstate, generator.getstate()))
                elif generator is not shared:
                    self._reseed.append(generator.seed)
            if self._seeded[id(shared)][1]:
                self._restore_global = partial(shared.setstate, shared.getstate())

        self._undo.append(undo)

    def _watch_secrets(self, module: Any) -> None:
        if not hasattr(module, "randbits"):
            return
        randbits = module.randbits

        def noted_randbits(k: int) -> int:
            number: int = randbits(k)
            self._drawn.add(number)
            return number

        def undo() -> None:
            module.randbits = randbits

        module.randbits = noted_randbits
        self._undo.append(undo)

    def finish_import(self) -> None:
        """Stop watching, and record the states that the import left."""
        sys.meta_path.remove(self)
        for undo in self._undo:
            undo()
        for generator in _bit_generators():
            entropy = _entropy(generator)
            if entropy is not None and entropy in self._drawn:
                self._reseed.append(partial(_renew, generator))
            else:
                self.states.append((partial(setattr, generator, "state"), generator.state))

    def restore_in_fork(self) -> None:
        """Restore the seeded generators in a fork, and reseed the others."""
        self._restore_global()
        for renew in self._reseed:
            renew()

    def restore(self) -> None:
        """Restore the seeded generators in a process that has run a case."""
        for set_state, state in self.states:
            set_state(state)


def _bit_generators() -> list[Any]:
    """All bit generators of numpy, also the one behind `numpy.random.random()`."""
    module: Any = sys.modules.get("numpy.random.bit_generator")
    if module is None:
        return []
    return [item for item in gc.get_objects() if isinstance(item, module.BitGenerator)]


def _entropy(generator: Any) -> Any:
    """The entropy of a numpy generator's seed; None after `numpy.random.seed`."""
    origin = getattr(generator, "seed_seq", None) or getattr(generator, "_seed_seq", None)
    entropy = getattr(origin, "entropy", None)
    return entropy if isinstance(entropy, int) else None


def _renew(generator: Any) -> None:
    generator.state = type(generator)().state


# --- the end of a process ---------------------------------------------------------------------


# Seconds after which a case says for which threads it waits.
THREADS_S = 10.0


def clear_exit_handlers() -> None:
    """Drop the exit handlers that a fork inherits from its parent, which still runs."""
    atexit._clear()  # noqa: SLF001  # there is no public function


def finish_process() -> None:
    """End a fork like Python ends a program: join threads, call exit handlers, flush output."""
    threading = sys.modules.get("threading")
    timer = _report_threads(threading) if threading else None
    # Like the processes of multiprocessing, which also end by os._exit.
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
        if timer is not None:
            timer.cancel()


def _report_threads(threading: Any) -> Any:
    """Name the threads in a moment that a case waits for then; None if it has none.

    Without a word a case whose function has returned would seem to run until its time limit.
    """
    threads = [t for t in threading.enumerate()[1:] if not t.daemon]
    if not threads:
        return None

    def report() -> None:
        names = ", ".join(repr(thread.name) for thread in threads if thread.is_alive())
        with contextlib.suppress(OSError):  # the target closed it
            os.write(
                2,
                "hpcsweep: the function has returned, and its case waits for the end of thread "
                f"{names}: end it, or make it a daemon\n".encode(errors="backslashreplace"),
            )

    timer = threading.Timer(THREADS_S, report)
    timer.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread can be started
        timer.start()
    return timer


def _flush_c() -> None:
    """Flush the output buffers of C code."""
    sys.modules["ctypes"].CDLL(None).fflush(None)


# --- what a case leaves running -----------------------------------------------------------------


def adopt_orphans() -> None:
    """Become the parent of the processes that a case leaves behind, also of daemons.

    Elsewhere than on Linux they become children of init, and run on.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(ImportError, OSError):  # a Python that was built without it
        # `ctypes` around it would look up thirty paths more at the start of each task.
        import _ctypes  # noqa: PLC0415

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        _ctypes.call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def has_children() -> bool:
    """Whether this process has children, running or ended. One system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def own_children() -> frozenset[int]:
    """The children of this process: those that an import has started."""
    if not has_children():
        return frozenset()
    with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
        from hpcsweep.worker import processes  # noqa: PLC0415  # few imports start processes

        return frozenset(processes.children(os.getpid()))
    return frozenset()


def kill_orphans(kept: frozenset[int] = frozenset()) -> float:
    """Kill what a case left running: all children but `kept`. Returns their CPU seconds."""
    if not has_children():
        return 0.0
    with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
        from hpcsweep.worker import processes  # noqa: PLC0415  # few cases leave any

        return processes.kill_children(lambda pid: pid not in kept)
    return 0.0
