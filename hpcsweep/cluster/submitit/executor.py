"""The program `hpcsweep.cluster.submitit.executor VERB REQUEST`: submitit in a process of its own.

submitit reads the environment, starts processes that inherit it, prints, and keeps every job in
memory; a short-lived process contains all of that. The last line of output is the answer as JSON:
the result of the verb, or an `error` of our tree.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core import plugins, utils

from hpcsweep.cluster.process import Answer
from hpcsweep.cluster.slurm.answers import submission_error
from hpcsweep.cluster.slurm.environment import TOKEN
from hpcsweep.cluster.states import Life, meaning
from hpcsweep.cluster.submitit import localjobs
from hpcsweep.cluster.submitit.chunk import Chunk
from hpcsweep.cluster.submitit.client import IDS, kept_ids
from hpcsweep.cluster.timelimit import warning_seconds
from hpcsweep.errors import ClusterError, HpcsweepError, InputError
from hpcsweep.files import json_bytes, make_directory, remove_tree, write_new
from hpcsweep.quantities import memory_bytes, time_limit_seconds

LOG = "handing-in.log"
# submitit's local executor has no queue, so its jobs get no limit: minutes of ten years.
NO_LIMIT_MIN = 10 * 365 * 24 * 60
# Options that would start several workers for each array task.
SEVERAL = (
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "ntasks-per-core",
    "ntasks-per-socket",
    "ntasks-per-gpu",
)
# Options that have a meaning without a queue.
LOCAL_OPTIONS = ("cpus-per-task", "gpus-per-node")


# --- executors, and their parameters for sbatch's options ----------------------------------------


def find_executor(name: str) -> type[submitit.Executor]:
    """An executor by its name. *Raises* ClusterError if it is not available here."""
    executors = plugins.get_executors()
    if name not in executors or name == "debug":
        others = ", ".join(sorted(set(executors) - {"debug"}))
        raise ClusterError(
            f"submitit has no executor {name!r} that runs jobs by itself",
            next_step=f"Known here are {others}; others come with plugins of submitit, installed "
            "beside it.",
        )
    if executors[name].affinity() < 0:
        raise ClusterError(
            f"submitit's executor {name!r} cannot work here",
            next_step="Run this on a host of that cluster.",
        )
    return executors[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The options of an array, for an executor."""

    # sbatch's long options.
    options: Mapping[str, str]
    # Highest count of jobs at once; 0 for no throttle.
    throttle: int
    chunks: int = 1
    job_name: str = "check"


def make_executor(name: str, folder: Path, order: Order) -> submitit.AutoExecutor:
    """An executor with sbatch's options as submitit's parameters. *Raises* InputError, by name."""
    options, throttle = order.options, order.throttle
    find_executor(name)
    executor = submitit.AutoExecutor(folder, cluster=name)
    executor.update_parameters(name=order.job_name, timeout_min=_minutes(name, options))
    if name == "slurm":
        executor.update_parameters(**_for_slurm(order))
        return executor
    for option, value in options.items():
        if option == "time" or (name == "local" and option not in LOCAL_OPTIONS):
            continue
        if not any(
            _takes(executor, parameter) for parameter in _parameters_for(name, option, value)
        ):
            raise InputError(
                f"submitit's executor {name!r} has no parameter for {value!r}",
                where=f"slurm: {option}",
                next_step=f"Remove it for this cluster, or use another --cluster than "
                f"submitit:{name}.",
            )
    if name != "local":
        takes_it = _takes(executor, {f"{name}_array_parallelism": throttle or order.chunks})
        if throttle and not takes_it:
            raise InputError(
                f"submitit's executor {name!r} has no array_parallelism",
                where="--throttle",
                next_step="Leave it out, or make `chunk:` larger: of fewer array tasks fewer run "
                "at once.",
            )
    return executor


def _minutes(name: str, options: Mapping[str, str]) -> int:
    if name == "local":
        return NO_LIMIT_MIN
    seconds = time_limit_seconds(options.get("time", ""))
    if seconds is None:
        raise InputError(
            "is missing or no limit, but submitit limits every job (default: 5 minutes)",
            where="slurm: time",
            next_step="Give a limit: --set slurm.time=01:00:00.",
        )
    return math.ceil(seconds / 60)


def _for_slurm(order: Order) -> dict[str, Any]:
    """All options unchanged: submitit writes those without a parameter into the script."""
    options = order.options
    for option in SEVERAL:
        if options.get(option, "1") != "1":
            raise InputError(
                "submitit would start several workers for each array task",
                where=f"slurm: {option}",
                next_step="Use --cluster slurm, or remove it.",
            )
    own = {option: value or True for option, value in options.items() if option != "time"}
    cpus = options.get("cpus-per-task")
    limit = time_limit_seconds(options["time"])
    return {
        "slurm_additional_parameters": {"requeue": True} | own,
        "slurm_array_parallelism": order.throttle or order.chunks,
        "slurm_setup": [f"unset {TOKEN}"],  # an expired one keeps srun from being answered
        "slurm_signal_delay_s": warning_seconds(limit),
        # srun takes the job's CPUs from its own command line only (22.05 to 23.02).
        "slurm_srun_args": [f"--cpus-per-task={cpus}"] if cpus else [],
    }


def _parameters_for(name: str, option: str, value: str) -> Iterator[dict[str, Any]]:
    """The possible parameters of an option: submitit's common name, or this executor's own."""
    if option in ("cpus-per-task", "gpus-per-node", "nodes", "ntasks-per-node") and value.isdigit():
        parameter = "tasks_per_node" if option == "ntasks-per-node" else option.replace("-", "_")
        if parameter not in ("nodes", "tasks_per_node") or value == "1":
            yield {parameter: int(value)}
    elif option == "mem":
        yield {"mem_gb": (memory_bytes(value) or 0) / 2**30}
    else:
        own = option.replace("-", "_")
        yield {f"{name}_{own}": value or True}
        yield {f"{name}_additional_parameters": {option: value or True}}


def _takes(executor: submitit.AutoExecutor, parameter: dict[str, Any]) -> bool:
    try:
        executor.update_parameters(**parameter)
    except (NameError, ValueError, TypeError, AssertionError):
        return False
    return True


# --- the verbs -----------------------------------------------------------------------------------


def check_options(executor: str, order: dict[str, Any]) -> dict[str, Any]:
    """Check that an array with these options could be submitted; notes on ignored options."""
    options = order["options"]
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as folder:
        make_executor(executor, Path(folder), Order(**order))
    idle = sorted(set(options) - set(LOCAL_OPTIONS)) if executor == "local" else []
    if not idle:
        return {"notes": []}
    note = (
        "submitit:local runs everything on this host, without a queue or limits; left out of "
        f"`slurm:` there: {', '.join(idle)}"
    )
    return {"notes": [note]}


def submit(
    executor: str, order: dict[str, Any], folder: str, first_chunk: int, callable_: dict[str, Any]
) -> dict[str, Any]:
    """Submit one callable per chunk. Returns their job ids, by element.

    *Writes* the folder: submitit's own files, and the ids.
    """
    request, place = Order(**order), make_directory(Path(folder))
    slots: tuple[str, ...] = ()
    if executor == "local":
        cpus = request.options.get("cpus-per-task", "1")
        slots = localjobs.slots(place.parent.parent, request.throttle, cpus)
    chunks = [
        Chunk(**callable_, element=element, chunk=first_chunk + element, slots=slots)
        for element in range(request.chunks)
    ]
    # submitit's jobs start in its working directory, which is first on Python's path: it must not
    # contain a user's file like argparse.py.
    os.chdir(place)
    with _output_to(place / LOG):
        opened = make_executor(executor, place, request)
        try:
            jobs = opened.submit_array(chunks)
        except utils.FailedJobError as error:
            if not str(error) or any(place.glob("*_submitted.pkl")):
                raise
            failure = _failed(executor, error)
            if not failure.transient:  # refused: no job will ever read these files
                remove_tree(place)
            raise failure from error
    ids = [str(job.job_id) for job in jobs]
    write_new(place / IDS, json_bytes(ids))
    return {"ids": ids}


def _failed(executor: str, error: utils.FailedJobError) -> ClusterError:
    """The error if submitit's submit command failed before any job was accepted."""
    if executor == "slurm":
        code = getattr(error.__cause__, "returncode", -1)
        return submission_error(Answer(code, "", str(error)))
    # No list of refusals is known for other schedulers: trust submitit's error.
    return ClusterError(
        f"the array was refused: {error}",
        next_step="Change `slurm:` in the manifest, or --set slurm.OPTION=….",
    )


def states(executor: str, folders: dict[str, str]) -> dict[str, Any]:
    """The state of every element that may not have ended, by array and element."""
    by_array: dict[str, dict[int, str]] = {}
    for name, folder in folders.items():
        if executor == "local":
            by_array[name] = localjobs.states(Path(folder), kept_ids(Path(folder)))
        else:
            jobs = _jobs(executor, folder)
            by_array[name] = {element: _state(job) for element, job in enumerate(jobs)}
    return {"states": by_array}


def cancel(executor: str, folders: dict[str, str]) -> dict[str, Any]:
    """Cancel every job of these arrays."""
    for folder in folders.values():
        if executor == "local":
            if not localjobs.end(Path(folder)):
                raise ClusterError(
                    f"some of its processes did not end within {localjobs.END_S:g} s",
                    where=folder,
                    next_step="Run the same command again, or look at them with ps.",
                )
            continue
        for job in _jobs(executor, folder):
            if not job.done():
                job.cancel(check=False)
    return {}


def limits(executor: str) -> dict[str, Any]:
    """Check that the executor exists."""
    find_executor(executor)
    return {}


def _jobs(executor: str, folder: str) -> list[submitit.Job[None]]:
    job = find_executor(executor).job_class
    return [job(folder=folder, job_id=job_id, tasks=[0]) for job_id in kept_ids(Path(folder))]


def _state(job: submitit.Job[None]) -> str:
    """A job's state as one of Slurm's; a plugin's own state, unknown to Slurm, is not final."""
    try:
        state = str(job.state).upper()
    except NotImplementedError:  # a plugin without a watcher
        state = "UNKNOWN"
    if meaning(state)[0] is Life.UNKNOWN and job.done():
        return "COMPLETED"
    return state


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Redirect output to a file: processes that outlive this one must not hold our pipes open."""
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


VERBS = {verb.__name__: verb for verb in (check_options, submit, states, cancel, limits)}


def main(arguments: list[str]) -> int:
    """Do one verb and print its answer. Returns the exit code."""
    verb, request = arguments
    try:
        answer = VERBS[verb](**json.loads(request))
    except HpcsweepError as error:
        kind, context = type(error).__name__, {"where": error.where, "next_step": error.next_step}
        answer = {"error": kind, "what": error.what, **context}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
    return 0
