"""The files of a job: its submitted script and environment, its output, its spool directory."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from hpcsweep import files
from hpcsweep.emulator import arrays, identity, names, patterns
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.versions import SlurmVersion
from hpcsweep.errors import ClusterError

# Size limit of an environment; the kernel accepts at most 2 MiB.
_MAX_ENVIRONMENT = 1 << 26


def submission_dir(state_dir: Path, base_id: int) -> Path:
    """The directory of the script and environment of one sbatch."""
    return state_dir / names.SUBMISSIONS / str(base_id)


def spool_dir(state_dir: Path, job: Job) -> Path:
    """The spool directory of a running job on its node."""
    return state_dir / names.SPOOL / job.node / f"job{job.id:05d}"


def write_submission(
    state_dir: Path, base_id: int, script: bytes, environment: dict[str, str]
) -> None:
    """*Writes* the script and the environment of an sbatch, durably."""
    directory = files.make_directory(submission_dir(state_dir, base_id))
    files.write_new(directory / "script", script, mode=0o700)
    files.write_new(directory / "environment", files.json_bytes(environment))


def read_script(state_dir: Path, base_id: int) -> bytes:
    """The script of an sbatch. *Raises* ClusterError naming the file."""
    path = submission_dir(state_dir, base_id) / "script"
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def read_environment(state_dir: Path, base_id: int) -> dict[str, str]:
    """The environment of an sbatch. *Raises* ClusterError naming the file."""
    path = submission_dir(state_dir, base_id) / "environment"
    try:
        values = files.parse_json(files.read_regular(path, _MAX_ENVIRONMENT))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _damaged(path, f"it holds no JSON: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise _damaged(path, "it holds no JSON object of texts")
    return values


def _damaged(path: Path, why: str) -> ClusterError:
    return ClusterError(
        f"a file of the emulated cluster cannot be read: {why}",
        where=str(path),
        next_step="Cancel the job and submit it again.",
    )


def output_path(job: Job, pattern: str, version: SlurmVersion) -> str:
    """The absolute path of a file name pattern (--output, --error)."""
    request = job.request
    if pattern == "none":
        return os.devnull
    if "\\" in pattern:  # sbatch(1): a backslash disables the replacement symbols
        return os.path.join(request.work_dir, re.sub(r"\\(.)", r"\1", pattern))
    task = arrays.NO_TASK if job.task is None else job.task
    symbols = {
        "A": str(request.id),
        "a": str(task),
        **({"b": str(task % 10)} if version.since("24.11") else {}),
        "j": str(job.id),
        "J": str(job.id),
        "n": "0",
        "t": "0",
        # The machine's name, not the node's; the step of a batch script is `batch`.
        "N": identity.host_name(),
        "s": "batch",
        "u": request.user,
        "x": request.name,
    }
    return os.path.join(request.work_dir, patterns.fill(pattern, symbols))


def output_paths(job: Job, version: SlurmVersion) -> tuple[str, str]:
    """The files of standard output and standard error."""
    default = "slurm-%A_%a.out" if job.request.array else "slurm-%j.out"
    stdout = output_path(job, job.request.stdout or default, version)
    if not job.request.stderr:
        return stdout, stdout
    return stdout, output_path(job, job.request.stderr, version)


def write_message(job: Job, text: str, version: SlurmVersion) -> None:
    """Append a message of slurmstepd to the job's standard error, if that file exists."""
    path = output_paths(job, version)[1]
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            os.write(descriptor, version.stepd_line(job.node, text))
        finally:
            os.close(descriptor)
