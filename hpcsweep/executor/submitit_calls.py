"""What programs for submitit use inside of their calls: in a task, by the standard library."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from typing import Any


class JobEnvironment:
    """What a call knows of its array task, which is one process on one node."""

    num_tasks = num_nodes = 1
    local_rank = global_rank = node = 0

    def __init__(self) -> None:
        self.hostname = socket.gethostname()
        self.hostnames = [self.hostname]
        of_pbs = os.environ.get("PBS_ARRAY_ID"), os.environ.get("PBS_ARRAY_INDEX")
        self.array_job_id = os.environ.get("SLURM_ARRAY_JOB_ID", of_pbs[0])
        self.array_task_id = os.environ.get("SLURM_ARRAY_TASK_ID", of_pbs[1])
        self.job_id = f"{self.array_job_id}_{self.array_task_id}"


class CommandFunction:
    """A program as a function: what a call gives it are further arguments, `--name=value` by name.

    *Raises* CalledProcessError for an exit code that is not 0.
    """

    def __init__(
        self,
        command: list[str],
        verbose: bool = True,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._verbose, self._cwd = command, verbose, cwd
        self._env = dict(env or {})

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Run the program. Returns what it printed."""
        argv = [*self._command, *map(str, args), *(f"--{name}={kwargs[name]}" for name in kwargs)]
        done = subprocess.run(
            argv,
            cwd=self._cwd,
            env=os.environ | self._env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        if self._verbose:
            print(done.stdout, end="")  # noqa: T201  # as submitit does
        return done.stdout.strip()


class Checkpointable:
    """A function that submitit would submit again with its state: here it is called anew.

    What an attempt may need of the one before, a `Checkpoint` or its own files keep.
    """

    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        """The call that goes on; no task asks for it."""
        return DelayedSubmission(self, *args, **kwargs)  # type: ignore[arg-type]  # has __call__


class DelayedSubmission:
    """A call to be made later."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs

    def result(self) -> Any:
        """What the call returns now."""
        return self.function(*self.args, **self.kwargs)


class FunctionSequence:
    """Calls that one job makes one after another."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self.delayed_functions: list[DelayedSubmission] = []

    def add(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Add a call."""
        self.delayed_functions.append(DelayedSubmission(function, *args, **kwargs))

    def __len__(self) -> int:
        return len(self.delayed_functions)

    def __call__(self) -> list[Any]:
        """The results of all calls."""
        return [call.result() for call in self.delayed_functions]
