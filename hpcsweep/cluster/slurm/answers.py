"""The errors that follow from the answers of Slurm's programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpcsweep.cluster.process import Answer
from hpcsweep.cluster.slurm import refusals, text
from hpcsweep.cluster.slurm.refusals import Verdict
from hpcsweep.errors import ClusterError, ClusterUnavailable

# Errors of all programs if the controller or accounting cannot be reached.
_UNREACHABLE = (
    "Unable to contact slurm controller",
    "Connection refused",
    "Connection timed out",
    "Socket timed out",
    "Transport endpoint",
    "Resource temporarily unavailable",
    "Zero Bytes were transmitted",
    "Problem talking to the database",
    "Unable to contact slurm database",
)
# Error of all programs of a client without a slurm.conf (22.05).
NO_CLUSTER = "Could not establish a configuration source"
OTHER_OPTIONS = "Change `slurm:` in the manifest, or --set slurm.OPTION=…."


def order_error(program: str, answer: Answer) -> ClusterError:
    """The error of a failed program that changes jobs: it refused, or reached nobody."""
    kind = ClusterUnavailable if is_unreachable(answer.stderr) else ClusterError
    return kind(f"{program}: {answer.complaint}")


def submission_error(answer: Answer) -> ClusterError:
    """The error of an sbatch that gave no job id: the array was refused, or it is not known.

    A site's wrapper may print messages to standard output, lose the exit code, and try again.
    """
    said = answer if answer.stderr.strip() else replace(answer, stderr=answer.stdout)
    # A signal may have come after the controller took the job.
    is_refused = answer.returncode >= 0 and refusals.verdict(said.stderr) is Verdict.REFUSED
    if is_refused and not text.holds_job_id(f"{answer.stdout}\n{answer.stderr}"):
        return refused(said.complaint)
    if answer.returncode == 0 and not answer.stderr.strip():
        what = f"sbatch answered {answer.stdout!r:.200}, which holds no job id"
    else:
        what = f"sbatch: {said.complaint}"
    return ClusterUnavailable(what)


def refused(complaint: str) -> ClusterError:
    """The error for an array that sbatch refused."""
    error = ClusterError(
        f"sbatch refused the array: {complaint.removeprefix('sbatch: ')}",
        next_step=refusals.next_step(complaint) or OTHER_OPTIONS,
    )
    error.transient = refusals.lacks_room(complaint)
    return error


def report_waits(notify: Callable[[str], None]) -> Callable[[str], None]:
    """A callback for sbatch's lines that reports what it waits for."""

    def on_line(line: str) -> None:
        if not line:
            notify("sbatch has not answered yet; it asks a busy or full cluster for 2 minutes.")
        elif refusals.is_waiting(line):
            notify(f"sbatch waits, 2 minutes at most: {refusals.plain(line)}")

    return on_line


def is_unreachable(stderr: str) -> bool:
    """Whether a program reports that it reached neither controller nor accounting."""
    return any(error in stderr for error in _UNREACHABLE)
