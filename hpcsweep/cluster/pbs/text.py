"""Build the arguments of PBS's programs and parse their output. Pure functions.

The formats are those of OpenPBS 23.06: `tests/data/pbs-transcripts`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hpcsweep.cluster.jobs import AccountingRow, Array, Element, Queued, SingleJob
from hpcsweep.cluster.pbs.options import qsub_options
from hpcsweep.cluster.pbs.states import ended_state, queue_state, reason
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.indexset import IndexSet

# qstat and qdel about a job that is over; the others of the same command are answered (23.06).
_GONE = re.compile(r"Unknown Job Id|Job has finished")
# qstat -x and qselect -x of a server with job_history_enable=False; their exit code is 0.
NO_HISTORY = "not configured to maintain job history"
# A job: `12.server`, an array `12[].server`, an element `12[3].server`.
_JOB = re.compile(r"(\d+)(\[(\d*)\])?(\.\S+)")
# In `qstat -f`: what begins the attributes of one, and an attribute.
_OBJECT = re.compile(r"(?:Job Id|Queue|Server): (\S+)")
_ATTRIBUTE = re.compile(r"    (\S+) = (.*)")
# An element of `qstat -t`: its id, of which a long one is cut at the end; S is the last but one.
_ROW = re.compile(r"(\d+)\[(\d+)\]\S*\s.*\s([A-Z])\s+\S+\s*")
_ROW_BEGIN = re.compile(r"\d+\[\d")
# Our name of elements: `12[].server_[0-4,7]`.
_NAMED = re.compile(r"(\d+)\[\](\.\S+)_\[([\d,-]+)\]")


def qsub(array: Array, environment: Mapping[str, str]) -> list[str]:
    """Submit one part. `environment`: the variables that its tasks get.

    The script is an argument of bash and no job script: so it has arguments, and its process is
    the one that PBS started.
    """
    chunks, throttle = array.part.chunks, array.part.throttle
    # An array has two elements or more; a step beyond the last one leaves the first (23.06).
    elements = f"0-{chunks - 1}" if chunks > 1 else "0-1:2"
    return [
        *("qsub", "-N", array.job_name, "-J", f"{elements}%{throttle}" if throttle else elements),
        *("-j", "oe", "-o", "/dev/null"),
        *_variables(environment),
        *qsub_options(array.options),
        *("--", "/bin/bash", array.script, str(array.part.number)),
    ]


# Starts a script whose output goes to a file: qsub -o takes no path with other letters than ASCII's
# (23.06), and PBS copies an output when the job is over.
_WITH_OUTPUT = 'exec >>"$0" 2>&1; exec /bin/bash "$@"'


def qsub_job(
    job: SingleJob, environment: Mapping[str, str], begin: float | None = None
) -> list[str]:
    """Submit a job that is no array; `begin`: not before this time."""
    # qsub reads it in the zone of its own environment, which is ours.
    at = [] if begin is None else ["-a", time.strftime("%Y%m%d%H%M.%S", time.localtime(begin))]
    return [
        *("qsub", "-N", job.name, "-j", "oe", "-o", "/dev/null"),
        *at,
        *(("-W", f"depend=afterany:{job.after}") if job.after else ()),
        *_variables(environment),
        *qsub_options(job.options),
        *("--", "/bin/bash", "-c", _WITH_OUTPUT, job.output, job.script),
    ]


def _variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    # Names alone: qsub reads the values, and they are in no argument list.
    return ("-v", ",".join(sorted(environment))) if environment else ()


def job_id(stdout: str) -> str:
    """The job id in qsub's output, its only line. *Raises* ClusterUnavailable for none."""
    ids = [line.strip() for line in stdout.splitlines() if _JOB.fullmatch(line.strip())]
    if len(ids) != 1:
        raise ClusterUnavailable(f"qsub answered {stdout!r:.200}, which holds no job id")
    return ids[0]


def is_gone(stderr: str) -> bool:
    """Whether a program complains about nothing but jobs that are over."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return bool(lines) and all(_GONE.search(line) for line in lines)


def objects(stdout: str) -> dict[str, dict[str, str]]:
    """The attributes of each job, queue or server in `qstat -f`, by its name.

    Not `-F json`: of several jobs it prints one (23.06), and older versions print what is no JSON.
    """
    found: dict[str, dict[str, str]] = {}
    attributes: dict[str, str] = {}
    last = ""
    for line in stdout.splitlines():
        if head := _OBJECT.fullmatch(line):
            attributes = found[head[1]] = {}
        elif attribute := _ATTRIBUTE.fullmatch(line):
            last, value = attribute.groups()
            # One with limits for several users has a line for each (23.06).
            attributes[last] = f"{attributes[last]},{value}" if last in attributes else value
        elif line.startswith("\t") and last in attributes:  # a long value is folded
            attributes[last] += line[1:]
    return found


def queue(stdout: str, table: str) -> dict[Element, Queued]:
    """The state of each element, of `qstat -f` about arrays and of `qstat -t` about them.

    A job that is no array is its own element 0.
    """
    states: dict[Element, Queued] = {}
    elements = _elements(table)
    for name, job in objects(stdout).items():
        why = reason(job)
        if (match := _JOB.fullmatch(name)) is None:
            continue
        if match[2] is None:
            states[name, 0] = Queued(queue_state(job.get("job_state", "")), why)
        for number, letter in elements.get(match[1], ()):
            state = queue_state(letter)
            states[name, number] = Queued(state, why if state == "PENDING" else "")
    return states


def pending(table: str) -> dict[str, IndexSet]:
    """The queued elements in `qstat -t`, by the number of their array."""
    return {
        array: IndexSet.of(number for number, letter in elements if letter == "Q")
        for array, elements in _elements(table).items()
    }


def _elements(table: str) -> dict[str, list[tuple[int, str]]]:
    """Number and letter of each element, by the number of its array.

    *Raises* ClusterUnavailable for a row that cannot be read: an element without one has ended.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for line in table.splitlines():
        if match := _ROW.fullmatch(line):
            found.setdefault(match[1], []).append((int(match[2]), match[3]))
        elif _ROW_BEGIN.match(line):
            raise ClusterUnavailable(f"qstat answered {line!r:.200}, which is no row of an element")
    return found


def history(stdout: str) -> list[AccountingRow]:
    """The elements and jobs that are over in `qstat -x -t -f`."""
    rows = []
    for name, job in objects(stdout).items():
        match, state = _JOB.fullmatch(name), ended_state(job)
        if match is None or match[3] == "" or state is None:
            continue
        array = name if match[2] is None else f"{match[1]}[]{match[4]}"
        rows.append(AccountingRow(array, (int(match[3] or 0),), state, is_final=True))
    return rows


def arrays(job_ids: Iterable[str]) -> list[str]:
    """Those of the job ids that are arrays."""
    return [name for name in job_ids if "[]" in name]


def array_of(named: str) -> str:
    """The array in our name of elements; another name is that of a job."""
    match = _NAMED.fullmatch(named)
    return f"{match[1]}[]{match[2]}" if match else named


def targets(named: Iterable[str]) -> Iterator[str]:
    """PBS's names of elements, one for each range: `12[0-4].server`, `12[7].server`."""
    for name in named:
        match = _NAMED.fullmatch(name)
        if match is None:
            yield name
        else:
            yield from (f"{match[1]}[{piece}]{match[2]}" for piece in match[3].split(","))


def elements_named(array: str, indices: IndexSet) -> str:
    """Our name of some elements of an array."""
    return f"{array}_[{indices}]"


def qstat(job_ids: Sequence[str]) -> list[str]:
    """Query arrays and jobs, without their elements."""
    return ["qstat", "-f", *job_ids]


def qstat_elements(job_ids: Sequence[str]) -> list[str]:
    """Query the states of elements: a line for each, where `-f` prints 2 kB (23.06)."""
    return ["qstat", "-t", *job_ids]


def pieces(elements: Iterable[Element]) -> Iterator[str]:
    """PBS's names of elements, one for each range, and of jobs that are no arrays."""
    by_array: dict[str, list[int]] = {}
    for job_id, number in elements:
        by_array.setdefault(job_id, []).append(number)
    for job_id, numbers in by_array.items():
        if job_id in arrays([job_id]):
            yield from targets([elements_named(job_id, IndexSet.of(numbers))])
        else:
            yield job_id


def qstat_history(names: Sequence[str]) -> list[str]:
    """Query how elements ended, as long as the server keeps it (job_history_duration).

    2 kB for each (23.06), so it names those of which nothing else is known.
    """
    return ["qstat", "-x", "-f", *names]


def qselect(name: str, *, history: bool) -> list[str]:
    """Query the ids of the jobs with a name."""
    return ["qselect", *(("-x",) if history else ()), "-N", name]
