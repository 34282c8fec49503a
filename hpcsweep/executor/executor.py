"""`Executor`: a `concurrent.futures.Executor` whose calls run on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as BaseExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hpcsweep.errors import InputError
from hpcsweep.executor.calls import (
    CallPickles,
    CallSweep,
    Initializer,
    manifest_keys,
    name_of,
    pickled,
    pickled_arguments,
    pickled_function,
)
from hpcsweep.executor.dispatch import Dispatcher
from hpcsweep.executor.futures import CallFuture
from hpcsweep.files import token
from hpcsweep.importing import refuse_while_importing
from hpcsweep.sweep import Sweep

T = TypeVar("T")


class Executor(BaseExecutor):
    """Calls functions on a cluster; calls that come together are one job array.

    Examples:
        >>> with hs.Executor(cluster="emulated") as executor:
        ...     print(list(executor.map(pow, [2, 3], [5, 2])))
        [32, 9]
    """

    def __init__(  # noqa: PLR0913  # keywords
        self,
        name: str | None = None,
        *,
        cluster: str | None = None,
        profile: str | None = None,
        root: str | Path = ".",
        max_workers: int | None = None,
        cache: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        """Describe what calls ask for; nothing is written before the first call.

        Args:
            name: Name of the sweep; with it another process finds the calls again.
            cluster: Kind of cluster, as in `Sweep`.
            profile: Profile of the settings.
            root: The directory in which calls run.
            max_workers: The most array tasks at once.
            cache: Compute a call of equal function, arguments and modules once. One that failed
                is computed again.
            initializer: What each process of a task calls before its first call; one of a script
                before the first call of each function. The calls of a slot share a process then,
                unless `isolation` is given.
            initargs: Its arguments.
            options: Keys of a manifest (`retry`, `setup`, `chunk`, `isolation`), and options of
                sbatch (`time`, `mem`, `cpus_per_task`).

        Raises:
            ManifestError: An option is not known, or its value is wrong.
            InputError: The root is not a directory.
        """
        if max_workers is not None and max_workers < 1:
            raise ValueError("max_workers must be greater than 0")
        directory = Path(root).resolve()
        if not directory.is_dir():
            raise InputError(
                "is not a directory",
                where=f"root={str(root)!r}",
                next_step="Name the directory in which calls run.",
            )
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._calls = CallSweep(
            name or f"executor-{stamp}-{token()[:6]}",
            directory,
            # The process that has called an initializer makes many calls.
            ({} if initializer is None else {"isolation": "task"}) | manifest_keys(options),
            {"cluster": cluster, "profile": profile},
        )
        self._dispatcher = Dispatcher(self._calls, cache=cache, throttle=max_workers or 0)
        self._is_shut_down = False
        self._chunk: int | None = None
        self._initializer = (
            None if initializer is None else Initializer(function=initializer, arguments=initargs)
        )

    @property
    def sweep(self) -> Sweep:
        """The sweep of the calls: its `status`, `logs(future.index)`, `query` and `cancel`.

        Examples:
            >>> executor.sweep.status().counts_text
            '2 complete of 2'
        """
        return self._calls.sweep

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> CallFuture:
        """Call a function on the cluster.

        Raises:
            InputError: The function or an argument cannot be pickled.

        Examples:
            >>> future = executor.submit(pow, 2, 5)
            >>> future.result()
            32
        """
        self._refuse_call()
        return self._dispatcher.add(pickled(fn, args, kwargs, self._initializer), self._chunk)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **more: Any,
    ) -> Iterator[T]:
        """The results of calls with the elements of iterables, in order; one job array.

        Args:
            fn: The function.
            iterables: One for each of its arguments.
            timeout: Seconds until TimeoutError.
            chunksize: If above 1, how many calls an array task makes; by default as many as take
                some minutes.
            more: Further keywords of the standard library's `map`.

        Raises:
            InputError: The function or an argument cannot be pickled.

        Examples:
            >>> list(executor.map(pow, [2, 3], [5, 2]))
            [32, 9]
        """
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1")
        self._refuse_call()
        code, name = pickled_function(fn, self._initializer), name_of(fn)
        calls = _PickledOnce(self, code, name)
        with self.batch(chunk=chunksize if chunksize > 1 else None):
            return BaseExecutor.map(calls, fn, *iterables, timeout=timeout, **more)  # type: ignore[arg-type]

    @contextmanager
    def batch(self, *, chunk: int | None = None) -> Iterator[None]:
        """Send the calls of the block as one array, with `chunk` calls in a task.

        Examples:
            >>> with executor.batch(chunk=2):
            ...     futures = [executor.submit(pow, 2, 5), executor.submit(pow, 3, 2)]
            >>> [future.result() for future in futures]
            [32, 9]
        """
        before, self._chunk = self._chunk, chunk or self._chunk
        try:
            with self._dispatcher.held():
                yield
        finally:
            self._chunk = before

    def futures(self) -> list[CallFuture]:
        """The futures of all calls of this name, also of processes that have ended, in order.

        Calls that were not sent then are sent now.

        Raises:
            SweepBusy: Another process uses the name.
            SweepError: There are no calls of this name.

        Examples:
            >>> [(future.index, future.result()) for future in executor.futures()]
            [(0, 32), (1, 9)]
        """
        return self._dispatcher.recover()

    def results(self, timeout: float | None = None) -> Iterator[Any]:
        """The results of `futures`; what a call raised is raised at its place.

        Examples:
            >>> list(executor.results())
            [32, 9]
        """
        end = None if timeout is None else time.monotonic() + timeout
        for future in self.futures():
            yield future.result(None if end is None else max(0.0, end - time.monotonic()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; wait for those there are, or cancel those that have not begun.

        Examples:
            >>> closed = hs.Executor(cluster="emulated")
            >>> closed.shutdown()
            >>> closed.submit(pow, 2, 5)
            Traceback (most recent call last):
            RuntimeError: cannot schedule new futures after shutdown
        """
        self._is_shut_down = True
        if cancel_futures:
            self._dispatcher.cancel_all()
        self._dispatcher.flush()
        if wait:
            self._dispatcher.join()

    def _refuse_call(self) -> None:
        """*Raises* RuntimeError after a shutdown; TargetError where a task would do the same."""
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        refuse_while_importing("submit")

    def __repr__(self) -> str:
        return f"<Executor {self.sweep.name!r} in {self._calls.path}>"


class _PickledOnce:
    """What `Executor.map` of the standard library calls: submits with a function pickled before."""

    def __init__(self, executor: Executor, code: bytes, name: str) -> None:
        self._executor, self._code, self._name = executor, code, name

    def submit(self, _function: Callable[..., Any], /, *arguments: Any) -> CallFuture:
        """Submit a call of the function."""
        packed = pickled_arguments(self._name, arguments, {})
        call = CallPickles(function=self._name, code=self._code, arguments=packed)
        return self._executor._dispatcher.add(call, self._executor._chunk)  # noqa: SLF001
