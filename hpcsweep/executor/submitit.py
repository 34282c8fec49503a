"""Programs written for submitit, with `import hpcsweep.executor.submitit as submitit`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

from hpcsweep.errors import CallFailed
from hpcsweep.executor.executor import Executor
from hpcsweep.executor.futures import CallFuture
from hpcsweep.executor.submitit_calls import (
    Checkpointable,
    CommandFunction,
    DelayedSubmission,
    FunctionSequence,
    JobEnvironment,
)
from hpcsweep.files import token

__all__ = ["AutoExecutor", "JobEnvironment", "LocalExecutor", "SlurmExecutor", "core", "helpers"]

# Kinds of clusters that submitit has for the computer where a program runs.
HERE = {"local": "emulated", "debug": "emulated"}
# Parameters that say how submitit works, or have the same meaning in any case.
IGNORED = frozenset({"name", "slurm_job_name", "stderr_to_stdout", "slurm_signal_delay_s"})


class SubmititJob:
    """A call, with the verbs of submitit's jobs. Errors are those that the function raised."""

    def __init__(self, future: CallFuture, executor: Executor, number: int) -> None:
        self.future, self._executor = future, executor
        self.job_id = f"{executor.sweep.name}_{number}"
        self.result, self.exception = future.result, future.exception
        self.done, self.cancel = future.done, future.cancel

    def results(self) -> list[Any]:
        """The result, in a list."""
        return [self.result()]

    def awaitable(self) -> AwaitableJob:
        """The same job, whose verbs are awaited."""
        return AwaitableJob(self)

    def wait(self) -> None:
        """Wait until it has ended, well or not."""
        futures.wait([self.future])

    @property
    def state(self) -> str:
        """PENDING, RUNNING, CANCELLED, COMPLETED or FAILED."""
        if not self.done():
            return "RUNNING" if self.future.running() else "PENDING"
        if self.future.cancelled():
            return "CANCELLED"
        return "FAILED" if self.exception() else "COMPLETED"

    def stdout(self) -> str:
        """What the call printed."""
        return self._printed("stdout.txt")

    def stderr(self) -> str:
        """What the call printed as errors."""
        return self._printed("stderr.txt")

    def _printed(self, file: str) -> str:
        if self.future.index is None:
            return ""
        texts = self._executor.sweep.logs(self.future.index).texts
        return "".join(text for where, text in texts if where.endswith(file))


class AwaitableJob:
    """A job for programs of asyncio."""

    def __init__(self, job: SubmititJob) -> None:
        self._job = job

    async def result(self) -> Any:
        """The result. *Raises* what the function raised."""
        return await asyncio.wrap_future(self._job.future)

    async def results(self) -> list[Any]:
        """The result, in a list."""
        return [await self.result()]

    async def wait(self) -> None:
        """Wait until it has ended, well or not."""
        await asyncio.wait([asyncio.wrap_future(self._job.future)])


class helpers:  # noqa: N801  # submitit's name
    """`submitit.helpers`."""

    Checkpointable = Checkpointable
    CommandFunction = CommandFunction
    DelayedSubmission = DelayedSubmission
    FunctionSequence = FunctionSequence

    @staticmethod
    def as_completed(jobs: Iterable[SubmititJob]) -> Iterator[SubmititJob]:
        """The jobs as they end."""
        by_future = {job.future: job for job in jobs}
        return (by_future[future] for future in futures.as_completed(by_future))  # type: ignore[index]


class AutoExecutor:
    """An executor with submitit's verbs; `folder` begins the name of its sweep."""

    def __init__(self, folder: Any, cluster: str | None = None, **_: Any) -> None:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", str(folder)).strip("-")[-40:] or "calls"
        self._is_here = cluster in HERE
        self._cluster = HERE.get(cluster or "", cluster)
        self._name, self._keys = name, dict[str, Any]()
        self._executor: Executor | None = None
        self._count = 0

    def update_parameters(self, **parameters: Any) -> None:
        """Set what later calls ask for, in submitit's names."""
        self._keys |= _keys(parameters, is_here=self._is_here)
        self._executor = None

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> SubmititJob:
        """Call a function on the cluster."""
        executor = self._current
        self._count += 1
        return SubmititJob(executor.submit(function, *args, **kwargs), executor, self._count - 1)

    def map_array(
        self, function: Callable[..., Any], *iterables: Iterable[Any]
    ) -> list[SubmititJob]:
        """Call a function with the elements of iterables, as one array."""
        with self.batch():
            return [self.submit(function, *values) for values in zip(*iterables, strict=False)]

    @contextmanager
    def batch(self, allow_implicit_submissions: bool = False) -> Iterator[None]:  # noqa: ARG002
        """Send the calls of the block as one array."""
        with self._current.batch():
            yield

    @property
    def _current(self) -> Executor:
        if self._executor is None:
            self._count = 0
            name = f"{self._name}-{token()[:6]}"
            self._executor = Executor(name, cluster=self._cluster, **self._keys)
        return self._executor


class LocalExecutor(AutoExecutor):
    """Calls on the emulated cluster."""

    def __init__(self, folder: Any, **_: Any) -> None:
        super().__init__(folder, "local")


class SlurmExecutor(AutoExecutor):
    """Calls on Slurm."""

    def __init__(self, folder: Any, **_: Any) -> None:
        super().__init__(folder, "slurm")


class core:  # noqa: N801  # submitit's name
    """`submitit.core`, as far as programs name it: its errors."""

    class utils:  # noqa: N801  # as above
        """`submitit.core.utils`."""

        FailedJobError = FailedSubmission = CallFailed


def _keys(parameters: Mapping[str, Any], *, is_here: bool) -> dict[str, Any]:
    """The keywords of an `Executor` for submitit's parameters; here there are none of Slurm's."""
    keys: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in IGNORED:
            continue
        option = name.removeprefix("slurm_")
        if name == "timeout_min":
            keys["time"] = f"{value}"
        elif option == "mem_gb":
            keys["mem"] = f"{value}G"
        elif option == "array_parallelism":
            keys["max_workers"] = value
        elif is_here and name.startswith("slurm_"):
            continue
        elif option == "additional_parameters":
            keys |= value
        else:
            keys[option] = value
    return keys
