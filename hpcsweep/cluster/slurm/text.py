"""Build the arguments of Slurm's programs and parse their output. Pure functions.

The formats are those of Slurm 22.05 to 26.05: `tests/data/slurm-transcripts`, `slurm-contract`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from hpcsweep.cluster.jobs import AccountingRow, Array, Element, Queued, SingleJob
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.cluster.states import Life, meaning
from hpcsweep.errors import ClusterUnavailable, InputError
from hpcsweep.manifest.frozen import OPTION_NAME, OPTION_VALUE
from hpcsweep.records import ALONE, NODE, Part

# The error of squeue and scontrol for an id that the controller has forgotten (after MinJobAge).
FORGOTTEN = "Invalid job id specified"
# scontrol about elements that are over, and about others of the same command (22.05).
_OVER, _DONE = "Job has already finished", ": No error"
# squeue's task id of a job that is no array. For us it is element 0: submitit, and a cluster
# without arrays, get single chunks as plain jobs.
NO_ARRAY = "N/A"
# The error of sacct if the site keeps no accounting.
NO_ACCOUNTING = "accounting storage is disabled"
# Makes sbatch answer with the job id alone.
PARSABLE = "--parsable"


def sbatch(array: Array) -> list[str]:
    """Submit one part. Options that differ between parts are on the command line, which wins."""
    part = array.part
    throttle = f"%{part.throttle}" if part.throttle else ""
    return [
        "sbatch",
        PARSABLE,
        f"--job-name={array.job_name}",
        *([f"--array=0-{part.chunks - 1}{throttle}"] if part.is_array else ()),
        f"--output={output_pattern(array.logs, part)}",
        f"--chdir={array.directory}",
        array.script,
        str(part.number),
        *(() if part.is_array else [NODE if part.nodes else ALONE]),
    ]


def sbatch_job(job: SingleJob) -> list[str]:
    """Submit a job that is no array."""
    return [
        "sbatch",
        PARSABLE,
        f"--job-name={job.name}",
        f"--output={job.output.replace('%', '%%')}",
        *([f"--dependency=afterany:{job.after}"] if job.after else ()),
        *(f"--{name}={value}" if value else f"--{name}" for name, value in job.options.items()),
        job.script,
    ]


def output_pattern(log_dir: str, part: Part) -> str:
    """The file of an array task's output: `<part>.<array job id>_<array task id>.log`.

    `%j` would be the element's own id, which equals `%A` for one element of each array. A percent
    sign in a path is doubled. In a job that is no array `%a` is 4294967294 (22.05); for us it is
    element 0.
    """
    task = "%a" if part.is_array else "0"
    return f"{log_dir.replace('%', '%%')}/{part.number}.%A_{task}.log"


# Values that need no quotes in a directive.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@%+/\[\]-]*")


def directive(option: str, value: str) -> str:
    """`--option=value` as in an `#SBATCH` line; "" is an option without a value.

    In double quotes sbatch (22.05) interprets only backslash and double quote, which a backslash
    escapes; blanks, `#`, `'` and `$` are literal. Unlike bash it interprets backslashes in single
    quotes. *Raises* InputError for a value that would start another line.
    """
    if not OPTION_NAME.fullmatch(option) or (value and not OPTION_VALUE.fullmatch(value)):
        raise InputError(f"slurm: {option}: {value!r} cannot be written as a directive")
    if not _PLAIN.fullmatch(value):
        value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"--{option}={value}" if value else f"--{option}"


def directives(options: Mapping[str, str]) -> list[str]:
    """The directive of each option, in the order of their names. *Raises* as `directive`."""
    return [directive(option, value) for option, value in sorted(options.items())]


SCRIPTS = ScriptForm(array="array.sbatch.j2", closing="closing.sbatch.j2", directives=directives)


# Escape sequences (colours, titles) that a site's wrapper may print.
_TERMINAL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
# A wrapper of some sites says in the same line what the job will cost: `… estimates 2 SUs from …`.
_JOB_ID = re.compile(
    r"(\d+)(?:;(\S+))?|Submitted batch job (\d+)(?: on cluster (\S+))?(?: estimates .*)?", re.ASCII
)


class AcceptedJob(NamedTuple):
    """A job that sbatch submitted."""

    job_id: str
    # "" unless sbatch was told, by whatever, to which cluster.
    cluster: str


def accepted(stdout: str) -> AcceptedJob | None:
    """The job in sbatch's output: the line `N`, `N;cluster` or `Submitted batch job N`, or None.

    A site's wrapper may print a banner and drop --parsable. *Raises* ClusterUnavailable for
    several job ids.
    """
    lines = (_TERMINAL.sub("", line).strip() for line in stdout.splitlines())
    found = [match for line in lines if (match := _JOB_ID.fullmatch(line))]
    ids = {match[1] or match[3] for match in found}
    if len(ids) > 1:
        raise ClusterUnavailable(f"sbatch answered {stdout!r:.200}, which holds {len(ids)} numbers")
    cluster = next(filter(None, (match[2] or match[4] for match in found)), "")
    return AcceptedJob(ids.pop(), cluster) if ids else None


def holds_job_id(output: str) -> bool:
    """Whether there is a job id in what sbatch printed, or several."""
    try:
        return accepted(output) is not None
    except ClusterUnavailable:
        return True


def squeue(job_ids: Iterable[str]) -> list[str]:
    """Query every element of these arrays, one per line, including those that just ended."""
    # `-r`: squeue truncates a collapsed array at 31 characters. `%T` is the full state, `%K` the
    # element, `%S` the start, for a pending one as `squeue --start` expects it, `%r` the reason,
    # which may contain spaces, commas and a site's own text.
    return ["squeue", "-h", "-r", "-t", "all", "-o", "%F|%K|%T|%S|%r", "-j", ",".join(job_ids)]


def squeue_by_name(names: Iterable[str]) -> list[str]:
    """Query which of these job names the controller knows, and the states of their jobs."""
    return ["squeue", "-h", "-t", "all", "-o", "%F|%T|%j", "--name", ",".join(names)]


def elements(stdout: str) -> dict[Element, Queued]:
    """The state of each element in `squeue`'s output."""
    queue = {}
    for line in stdout.splitlines():
        base, task, state, start, reason = (*line.split("|", 4), "", "", "", "")[:5]
        if task == NO_ARRAY:
            task = "0"
        if base.isdigit() and task.isdigit():
            queue[base, int(task)] = Queued(state, reason, _moment(start))
    return queue


def _moment(start: str) -> float | None:
    """Seconds of the epoch of a local time; None for `N/A` and anything else."""
    try:
        return datetime.fromisoformat(start).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def states_by_name(stdout: str, name: str) -> dict[str, set[str]]:
    """The states of jobs of a name by id, oldest first.

    `stdout` is the answer to `squeue_by_name` or to `sacct_by_name`.
    """
    states: dict[int, set[str]] = {}
    for line in stdout.splitlines():
        base, state, job_name = (*line.split("|", 2), "", "")[:3]
        number = base.partition("_")[0]
        if number.isdigit() and job_name == name:
            states.setdefault(int(number), set()).add(state)
    return {str(number): states[number] for number in sorted(states)}


def one_and_copies(states: Mapping[str, set[str]]) -> list[str]:
    """The array to keep of those of one name, and then its copies that are not over.

    The first that is not over is kept, one that is ending only if there is no other. Slurm shows
    arrays that were cancelled or failed for MinJobAge, and accounting has them for long; if all
    are over, the last is kept.
    """
    lives = {job_id: {_life(state) for state in of} for job_id, of in states.items()}
    alive = [job_id for job_id, of in lives.items() if of != {Life.OVER}]
    return sorted(alive, key=lambda job_id: lives[job_id] <= _ENDING) or [*states][-1:]


# COMPLETING is the state of a task that was cancelled or has ended, while it is cleaned up.
_ENDING = {Life.OVER, "COMPLETING"}


def _life(state: str) -> Life | str:
    return state if state in _ENDING else meaning(state)[0]


_SACCT = ["sacct", "-X", "-n", "-P"]
_SACCT_FIELDS = "JobID,JobName,State,End"


def sacct(job_ids: Iterable[str]) -> list[str]:
    """Query the accounting of these arrays, by base id: an element query misses rows."""
    return [*_SACCT, "-o", _SACCT_FIELDS, "-j", ",".join(job_ids)]


def sacct_by_name(names: Iterable[str], since: str) -> list[str]:
    """Query which of these job names accounting knows from a local time on, and their states."""
    return [*_SACCT, "-o", "JobID,State,JobName", "--name", ",".join(names), "-S", since]


def accounting(stdout: str) -> list[AccountingRow]:
    """The rows of array elements and of plain jobs in `sacct`'s output.

    A row named `allocation` is a phantom of a job's first seconds; its state is meaningless. A row
    with End Unknown is not final, even if its state is: it is being replayed after an outage of
    the database.
    """
    rows = []
    for line in stdout.splitlines():
        # A job's name may hold `|`: the state and the end are the last two fields.
        fields = line.split("|")
        base, array, tasks = fields[0].partition("_")
        if not array:
            tasks = "0"
        if len(fields) < 4 or not base.isdigit() or not tasks:
            continue
        name, state, end = "|".join(fields[1:-2]), fields[-2], fields[-1]
        is_final = name != "allocation" and end not in ("", "Unknown", "None")
        rows.append(AccountingRow(base, tuple(expand(tasks)), state, is_final))
    return rows


def expand(tasks: str) -> Iterable[int]:
    """The array task ids in `7` or `[1,3,5-9:2%4]`; none for truncated text."""
    if tasks.isdigit():
        return (int(tasks),)
    if not (tasks.startswith("[") and tasks.endswith("]")):
        return ()
    numbers: list[int] = []
    for piece in tasks[1:-1].partition("%")[0].split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", piece)
        if match is None:
            return ()
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        numbers.extend(range(first, last + 1, step))
    return numbers


def scancel(targets: Sequence[str], *, pending_only: bool = False, cluster: str = "") -> list[str]:
    """Cancel whole arrays or elements (`123`, `123_4`); of another cluster than that of queries."""
    elsewhere = [f"--clusters={cluster}"] if cluster else []
    return ["scancel", *elsewhere, *(["--state=PENDING"] if pending_only else []), *targets]


def requeue(job_id: str) -> list[str]:
    """End a job and let it start again; in 22.05 not before AuthInfo's cred_expire has passed."""
    return ["scontrol", "requeue", job_id]


def scontrol_hold(tasks: Sequence[str], *, release: bool = False) -> list[str]:
    """Hold or release queued elements (`123_[0-4]`)."""
    return ["scontrol", "release" if release else "hold", *tasks]


def has_ended(stderr: str) -> bool:
    """Whether scontrol complains about nothing but elements that are over."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return bool(lines) and all(
        any(complaint in line for complaint in (FORGOTTEN, _OVER, _DONE)) for line in lines
    )


def show_config() -> list[str]:
    """Query the controller's configuration."""
    return ["scontrol", "show", "config"]


def config_values(stdout: str) -> dict[str, str]:
    """The `Key = value` lines of `scontrol show config`."""
    values = {}
    for line in stdout.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = value.strip()
    return values


def seconds(value: str) -> float | None:
    """The seconds in a value like `30 sec` (KillWait); None for anything else."""
    match = re.match(r"(\d+) sec", value)
    return float(match[1]) if match else None


def local_time(epoch_s: float) -> str:
    """A time for sacct's -S, one minute earlier to allow for clock skew."""
    return datetime.fromtimestamp(epoch_s - 60).strftime("%Y-%m-%dT%H:%M:%S")  # noqa: DTZ006
