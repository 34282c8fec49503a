"""submitit's executors as clusters: a Slurm, this host, or those of its plugins.

A separate process (`executor`) submits the part's chunks by submitit's public functions; each job
(`chunk`) runs the array's script. The states of a `submitit:slurm` array come from Slurm's own
programs, those of other executors from submitit.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep import errors
from hpcsweep.cluster import process
from hpcsweep.cluster.base import Cluster, Defaults, Opening
from hpcsweep.cluster.jobs import Array, Element, Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.cluster.slurm.answers import is_unreachable, report_waits
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.cluster.slurm.environment import clean_environment
from hpcsweep.cluster.slurm.site import KILL_WAIT_S
from hpcsweep.cluster.slurm.text import SCRIPTS
from hpcsweep.cluster.submitit import localjobs
from hpcsweep.errors import ClusterError, ClusterUnavailable, Damaged
from hpcsweep.field_checks import TEXTS
from hpcsweep.files import RESTORE, names, read_json
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE

# The file in a part's folder with the ids of its jobs, by element.
IDS = "jobs.json"
# submitit's own files of a part, in the submission's log directory: `<part>.submitit`.
SUFFIX = ".submitit"
# Seconds that submitit waits between two jobs that it submits one by one.
PAUSE_S = 0.2
# Folders in one request, which is a single argument: 128 kB at most (Linux).
FOLDERS_AT_ONCE = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmBySubmitit(Slurm):
    """A Slurm to which submitit submits the arrays."""

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:
        """Refuse options that mean something else to submitit. *Raises* InputError."""
        return _check_options(self, options, throttle)

    def command(self, array: Array) -> str:
        """How submitit is called."""
        return _command(self.kind, array)

    def logs(self, directory: Path, part: int, element: int) -> list[Path]:
        """What submitit kept of one element."""
        return logs(directory, part, element)

    def _send(self, array: Array, notify: Callable[[str], None]) -> str:
        environment = clean_environment(self.environment, frozenset(array.options))
        request = _submission(self.kind, array, None)
        answer = _call("submit", request, environment, self.sbatch_timeout_s, report_waits(notify))
        return str(answer["ids"][0]).partition("_")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class BySubmitit(Defaults):
    """Any other executor of submitit, with its files in one sweep directory.

    An array's job id is its unique name: submitit has ids of single jobs only, which are in the
    part's folder.
    """

    # `submitit:` and the executor's name.
    kind: str
    # The sweep directory, absolute.
    sweep: str
    # Seconds that a query may take, and a submission beyond submitit's own pauses.
    timeout_s: float
    submit_timeout_s: float

    @property
    def is_own(self) -> bool:
        """Whether it runs everything on this host."""
        return _executor(self.kind) == "local"

    @property
    def script_form(self) -> ScriptForm:
        """Slurm's: submitit's jobs start the script with bash, which passes over directives."""
        return SCRIPTS

    def limits(self) -> Limits:
        """The limits, with this host or the executor as name. *Raises* ClusterError."""
        if self.is_own:
            name, most = os.uname().nodename, localjobs.JOBS_MAX
            return Limits(
                cluster_name=name,
                max_array_size=MAX_ARRAY_SIZE,
                kill_wait_s=KILL_WAIT_S,
                max_tasks=most,
            )
        self._request("limits", {})
        return Limits(
            cluster_name=_executor(self.kind),
            max_array_size=MAX_ARRAY_SIZE,
            kill_wait_s=KILL_WAIT_S,
        )

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:
        """Notes on options that the executor ignores. *Raises* InputError."""
        return _check_options(self, options, throttle)

    def command(self, array: Array) -> str:
        """How submitit is called."""
        return _command(self.kind, array)

    def test_only(self, array: Array) -> str:  # noqa: ARG002
        """No test is possible: submitit only submits."""
        return f"submitit cannot test an array on {_executor(self.kind)!r} before a submission"

    def submit(self, array: Array, notify: Callable[[str], None]) -> str:  # noqa: ARG002
        """Submit one part. Returns its name, which is its job id here."""
        environment = clean_environment({}, frozenset())
        timeout_s = self.submit_timeout_s + PAUSE_S * array.part.chunks
        _call("submit", _submission(self.kind, array, array.job_name), environment, timeout_s)
        return array.job_name

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """The state of every element as the executor reports it, in Slurm's words."""
        return {
            (job_id, int(element)): Queued(state)
            for folders in self._folders(job_ids)
            for job_id, states in self._request("states", {"folders": folders})["states"].items()
            for element, state in states.items()
        }

    def find_by_name(self, name: str, since: float) -> str | None:  # noqa: ARG002
        """The array's name, if its jobs are known or, on this host, alive.

        *Raises* ClusterError if only the scheduler's own programs could find it.
        """
        folder = self._folder(name)
        if (folder / IDS).exists() or (self.is_own and localjobs.processes(folder)):
            return name
        if self.is_own:
            return None
        number, part = _place(name)
        intent = SweepPaths(Path()).part_file(number, part, "intent")
        raise ClusterError(
            f"it is not known whether {self.kind} took part {part} of submission {number}, and "
            "submitit cannot find it by its name",
            where=self.sweep,
            next_step=f"Look for jobs {name!r} with the scheduler's own programs. End those that "
            f"are there, remove {intent}, and run the same command again.",
        )

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel arrays; on this host, wait until they have ended."""
        for folders in self._folders(job_ids):
            self._request("cancel", {"folders": folders})

    def logs(self, directory: Path, part: int, element: int) -> list[Path]:
        """What submitit kept of one element."""
        return logs(directory, part, element)

    def _folder(self, job_id: str) -> Path:
        number, part = _place(job_id)
        return SweepPaths(Path(self.sweep)).log_dir(number) / f"{part}{SUFFIX}"

    def _folders(self, job_ids: Sequence[str]) -> Iterator[dict[str, str]]:
        """The folders of the arrays, in groups of `FOLDERS_AT_ONCE`."""
        for first in range(0, len(job_ids), FOLDERS_AT_ONCE):
            some = job_ids[first : first + FOLDERS_AT_ONCE]
            yield {job_id: str(self._folder(job_id)) for job_id in some}

    def _request(self, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
        environment = clean_environment({}, frozenset())
        full = {"executor": _executor(self.kind), **request}
        return _call(verb, full, environment, self.timeout_s)


def open_executor(opening: Opening) -> Cluster:
    """Make the cluster of an executor, by its kind."""
    if _executor(opening.kind) == "slurm":
        return SlurmBySubmitit.open(opening)
    return BySubmitit(
        kind=opening.kind,
        sweep=str(opening.sweep),
        timeout_s=opening.settings.command_timeout_s,
        submit_timeout_s=opening.settings.sbatch_timeout_s,
    )


def logs(directory: Path, part: int, element: int) -> list[Path]:
    """submitit's log files of one element; none before it has job ids."""
    folder = directory / f"{part}{SUFFIX}"
    return [
        folder / f"{job_id}_0_log.{stream}"
        for job_id in kept_ids(folder)[element : element + 1]
        for stream in ("out", "err")
    ]


def kept_ids(folder: Path) -> list[str]:
    """submitit's ids of a part's elements; none before they are known. *Raises* SweepError."""
    if IDS not in names(folder):
        return []
    ids: list[str] = read_json(folder / IDS)
    # They become parts of paths.
    if not TEXTS.holds(ids) or any("/" in name for name in ids):
        what = "is damaged: it is no list of job ids"
        raise Damaged(what, where=str(folder / IDS), next_step=RESTORE)
    return ids


def _executor(kind: str) -> str:
    return kind.partition(":")[2]


def _place(job_name: str) -> tuple[int, int]:
    """The numbers of submission and part in a part's unique name."""
    number, part = job_name.split(".")[-2:]
    return int(number), int(part)


def _check_options(
    cluster: SlurmBySubmitit | BySubmitit, options: Mapping[str, str], throttle: int
) -> list[str]:
    order = {"options": dict(options), "throttle": throttle}
    request = {"executor": _executor(cluster.kind), "order": order}
    environment = clean_environment(cluster.environment, frozenset(options))
    answer = _call("check_options", request, environment, cluster.timeout_s)
    notes: list[str] = answer["notes"]
    return notes


def _command(kind: str, array: Array) -> str:
    return (
        f"submitit.AutoExecutor({array.logs}/{array.part.number}{SUFFIX}, "
        f"cluster={_executor(kind)!r}): {array.part.chunks} jobs {array.job_name}, each of which "
        f"runs this script with {array.part.number}"
    )


def _submission(kind: str, array: Array, job_id: str | None) -> dict[str, Any]:
    """The request to submit an array. *Raises* ClusterError for an impossible folder."""
    folder = f"{array.logs}/{array.part.number}{SUFFIX}"
    if "%" in folder:
        raise ClusterError(
            f"{folder!r} has a percent sign, which submitit takes for a pattern",
            next_step="Choose another --outputs directory.",
        )
    return {
        "executor": _executor(kind),
        "folder": folder,
        "first_chunk": array.part.first_chunk,
        "order": {
            "options": dict(array.options),
            "throttle": array.part.throttle,
            "chunks": array.part.chunks,
            "job_name": array.job_name,
        },
        "callable_": {
            "script": array.script,
            "directory": array.directory,
            "job_id": job_id,
            "part": array.part.number,
        },
    }


def _call(
    verb: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    timeout_s: float,
    on_line: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run `executor`; its answer. *Raises* its error, or ClusterUnavailable if it crashed."""
    program = ["hpcsweep.program", "hpcsweep.cluster.submitit.executor"]
    argv = [sys.executable, "-P", "-m", *program, verb, json.dumps(request)]
    answer = process.run(argv, environment, timeout_s, on_line, apart=True)
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or not lines:
        last = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1]
        last = last.removeprefix("hpcsweep: ")
        raise ClusterUnavailable(f"submitit:{request['executor']}: {last}")
    document: dict[str, Any] = json.loads(lines[-1])
    if "error" in document:
        error: type[errors.HpcsweepError] = getattr(errors, document.pop("error"))
        if error is ClusterError and is_unreachable(document["what"]):
            error = ClusterUnavailable
        raise error(**document)
    return document
