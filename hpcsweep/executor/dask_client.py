"""`Client`: the verbs of a Dask client that have a meaning for calls, by an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, Self

from hpcsweep.executor.executor import Executor
from hpcsweep.executor.futures import CallFuture


class Client:
    """Calls functions as `distributed.Client` does; `options` are the keywords of `Executor`."""

    def __init__(self, **options: Any) -> None:
        self.executor = Executor(**options)

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> CallFuture:
        """Call a function on the cluster."""
        return self.executor.submit(function, *args, **kwargs)

    def map(
        self, function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any
    ) -> list[CallFuture]:
        """Call a function with the elements of iterables, as one array."""
        with self.executor.batch():
            return [
                self.submit(function, *each, **kwargs) for each in zip(*iterables, strict=False)
            ]

    def gather(self, calls: Iterable[CallFuture]) -> list[Any]:
        """The results. *Raises* what a call raised."""
        return [call.result() for call in calls]

    def close(self) -> None:
        """Wait for all calls."""
        self.executor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_completed(calls: Iterable[CallFuture]) -> Iterator[CallFuture]:
    """The calls as they end."""
    return futures.as_completed(calls)  # type: ignore[return-value]
