"""`hpcsweep.cluster.submitit.executor VERB REQUEST`, a program: submitit, in a process of its own.

submitit reads the environment, starts processes that inherit ours, prints, and remembers every job
that it has seen. Here it does so in a process that ends; the answer is its last line, a document of
JSON: what the verb returns, or an `error` of our tree.
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
from hpcsweep.cluster.slurm.client import submission_error
from hpcsweep.cluster.slurm.environment import TOKEN
from hpcsweep.cluster.slurm.states import Life, meaning
from hpcsweep.cluster.submitit import localjobs
from hpcsweep.cluster.submitit.chunk import Chunk
from hpcsweep.cluster.submitit.client import IDS, kept_ids
from hpcsweep.cluster.timelimit import time_limit_seconds, warning_seconds
from hpcsweep.errors import ClusterError, HpcsweepError, InputError
from hpcsweep.files import json_bytes, make_directory, remove_tree, write_new

LOG = "handing-in.log"
# submitit's local executor has no queue, so its jobs get no limit: minutes of ten years.
NO_LIMIT_MIN = 10 * 365 * 24 * 60
# Options that would start several of what is one task to us.
SEVERAL = (
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "ntasks-per-core",
    "ntasks-per-socket",
    "ntasks-per-gpu",
)
# What has no meaning without a queue: everything but these.
LOCAL_OPTIONS = ("cpus-per-task", "gpus-per-node")


# --- executors, and what they make of sbatch's options -------------------------------------------


def find_executor(name: str) -> type[submitit.Executor]:
    """An executor by its name. *Raises* ClusterError when it is not here."""
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
    """What an executor is told of an array."""

    # sbatch's long options.
    options: Mapping[str, str]
    # Highest count of jobs at once; 0 for no throttle.
    throttle: int
    chunks: int = 1
    job_name: str = "check"


def make_executor(name: str, folder: Path, order: Order) -> submitit.AutoExecutor:
    """An executor with sbatch's options in submitit's words. *Raises* InputError, by name."""
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
            "is missing or no limit, and submitit limits every job (to 5 minutes unasked)",
            where="slurm: time",
            next_step="Give a limit: --set slurm.time=01:00:00.",
        )
    return math.ceil(seconds / 60)


def _for_slurm(order: Order) -> dict[str, Any]:
    """Every option as it is: submitit writes what it has no word for into the script."""
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
    """What an option may be called: submitit's word for all executors, or this one's own."""
    if option in ("cpus-per-task", "gpus-per-node", "nodes", "ntasks-per-node") and value.isdigit():
        word = "tasks_per_node" if option == "ntasks-per-node" else option.replace("-", "_")
        if word not in ("nodes", "tasks_per_node") or value == "1":
            yield {word: int(value)}
    elif option == "mem":
        yield {"mem_gb": _gigabytes(value)}
    else:
        own = option.replace("-", "_")
        yield {f"{name}_{own}": value or True}
        yield {f"{name}_additional_parameters": {option: value or True}}


def _gigabytes(memory: str) -> float:
    """`500M`, `2G` or whole megabytes, as sbatch has them."""
    number = memory.rstrip("KMGTkmgtBb")
    unit = memory[len(number) : len(number) + 1].upper() or "M"
    return int(number) * 1024.0 ** ("KMGT".index(unit) - 2)


def _takes(executor: submitit.AutoExecutor, parameter: dict[str, Any]) -> bool:
    try:
        executor.update_parameters(**parameter)
    except (NameError, ValueError, TypeError, AssertionError):
        return False
    return True


# --- the verbs -----------------------------------------------------------------------------------


def check_options(executor: str, order: dict[str, Any]) -> dict[str, Any]:
    """Whether an array with these options could be handed in; what is left out of them."""
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
    """Hand in one callable for each chunk. Returns their ids, by element.

    *Writes* the folder: submitit's own files, and the ids.
    """
    wanted, place = Order(**order), make_directory(Path(folder))
    slots: tuple[str, ...] = ()
    if executor == "local":
        cpus = wanted.options.get("cpus-per-task", "1")
        slots = localjobs.slots(place.parent.parent, wanted.throttle, cpus)
    chunks = [
        Chunk(**callable_, element=element, chunk=first_chunk + element, slots=slots)
        for element in range(wanted.chunks)
    ]
    # submitit starts its jobs where it is itself, and that is first on Python's path: no file of
    # the user's like argparse.py must be there.
    os.chdir(place)
    with _output_to(place / LOG):
        opened = make_executor(executor, place, wanted)
        try:
            jobs = opened.submit_array(chunks)
        except utils.FailedJobError as error:
            if not str(error) or any(place.glob("*_submitted.pkl")):
                raise
            failure = _failed(executor, error)
            if not failure.transient:  # refused: no job will ever read what lies here
                remove_tree(place)
            raise failure from error
    ids = [str(job.job_id) for job in jobs]
    write_new(place / IDS, json_bytes(ids))
    return {"ids": ids}


def _failed(executor: str, error: utils.FailedJobError) -> ClusterError:
    """What it means that the program which submits failed, before any job was taken."""
    if executor == "slurm":
        code = getattr(error.__cause__, "returncode", -1)
        return submission_error(Answer(code, "", str(error)))
    # Of other schedulers no list of refusals is known: submitit's own word is taken.
    return ClusterError(
        f"the array was refused: {error}",
        next_step="Change `slurm:` in the manifest, or --set slurm.OPTION=….",
    )


def states(executor: str, folders: dict[str, str]) -> dict[str, Any]:
    """The state of every element that is not certainly over, by array and element."""
    found: dict[str, dict[int, str]] = {}
    for name, folder in folders.items():
        if executor == "local":
            found[name] = localjobs.states(Path(folder), kept_ids(Path(folder)))
        else:
            jobs = _jobs(executor, folder)
            found[name] = {element: _state(job) for element, job in enumerate(jobs)}
    return {"states": found}


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
    """Nothing but that there is such an executor."""
    find_executor(executor)
    return {}


def _jobs(executor: str, folder: str) -> list[submitit.Job[None]]:
    made = find_executor(executor).job_class
    return [made(folder=folder, job_id=job_id, tasks=[0]) for job_id in kept_ids(Path(folder))]


def _state(job: submitit.Job[None]) -> str:
    """A job's state in Slurm's word; in the plugin's where that is no other's, which is no end."""
    try:
        state = str(job.state).upper()
    except NotImplementedError:  # a plugin without a watcher
        state = "UNKNOWN"
    if meaning(state)[0] is Life.UNKNOWN and job.done():
        return "COMPLETED"
    return state


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Keep processes that go on after this one from holding on to what our reader waits for."""
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
