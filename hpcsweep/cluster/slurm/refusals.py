"""The error messages of sbatch: which of them are certain refusals, and what to do then.

Only the messages listed here are refusals. Any other error leaves it open whether the array exists:
sbatch also exits with 1 if the controller accepted the job and its answer was lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum


class Verdict(Enum):
    """Whether a failed sbatch left an array on the cluster."""

    # Certainly not.
    REFUSED = "refused"
    # Not if the queue lacks its name: the controller answered, without a reason.
    UNSPECIFIED = "unspecified"
    # Unknown.
    UNKNOWN = "unknown"


# The controller's refusals of a request: those codes of slurm_errno.c (Slurm 20.11 to 26.05) that
# its submit path returns, and that no network problem of a client produces. Left out on purpose are
# messages that either side may print (Protocol authentication error, Slurm backup controller in
# standby mode, I/O error writing script/environment to file, internal error).
_LIMITS = frozenset(
    {
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "MaxJobCount limit reached",
        "Unable to create job record, try again",
    }
)
_FULL = "Resource temporarily unavailable"
_NO_ROOM = frozenset({_FULL, "MaxJobCount limit reached", "Unable to create job record, try again"})
_ARRAY = "Invalid job array specification"
DEPENDENCY = "Job dependency problem"
# Also to `--requeue=expedite` where slurm.conf does not allow it (26.05).
_UNSUPPORTED = "Requested operation not supported on this system"
_ANSWERS = _LIMITS | frozenset(
    {
        _ARRAY,
        "Access denied to requested reservation",
        "Access/permission denied",
        "Burst Buffer permission denied",
        "Burst Buffer request invalid",
        "Burst Buffer resource limit exceeded",
        "CPU count specification invalid",
        "Cannot request more threads per core than the job allocation",
        "Circular job dependency",
        "Core count for reservation node list is not consistent!",
        "Duplicate generic resource (gres) specification",
        "Environment is missing in job",
        "Invalid --nice value",
        "Invalid GRES specification (with and without type identification)",
        "Invalid KNL configuration (MCDRAM or NUMA option)",
        (
            "Invalid QOS specification, relative QOS can only be used in a single partition per "
            "cluster."
        ),
        "Invalid Trackable RESource (TRES) specification",
        "Invalid account or account/partition combination specified",
        "Invalid accounting frequency requested",
        "Invalid extra constraints specification",
        "Invalid feature specification",
        "Invalid generic resource (gres) specification",
        "Invalid group id",
        "Invalid license specification",
        "Invalid mcs_label specified",
        "Invalid node name specified",
        "Invalid or unknown association",
        "Invalid partition name specified",
        "Invalid preferred feature specification",
        "Invalid qos specification",
        "Invalid time specified",
        "Invalid time-min specification (exceeds job's time or other limits)",
        "Invalid user id",
        "Invalid wckey specification",
        "Job --batch option is invalid or not a subset of --constraint",
        "Job --batch option is invalid or not a subset of --constraints",
        "Job can not start due to maintenance reservation.",
        "Job cannot be submitted without the current working directory specified.",
        DEPENDENCY,
        "Job script not specified",
        "Job size specification needs to be provided",
        "Licenses currently unavailable",
        "Memory required by task is not available",
        "More processors requested than permitted",
        "Multiple KNL NUMA and/or MCDRAM constraints require use of a heterogeneous job",
        "Multiple partition job request not supported when a partition is set in the association",
        "No partition specified or system default partition",
        "Node count specification invalid",
        "Partition in DOWN state",
        "Pathname of a file, directory or other parameter too long",
        "QOS Preemption loop detected",
        "Requested GRES option unsupported by configured SelectType plugin",
        "Requested account has breached requested QOS usage threshold",
        "Requested node configuration is not available",
        "Requested nodes not in this partition",
        "Requested operation is presently disabled",
        _UNSUPPORTED,
        "Requested partition configuration not available now",
        "Requested reservation is in use",
        "Requested reservation is invalid",
        "Requested reservation not usable now",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Requested topology configuration is not available",
        "Required node not available (down, drained or reserved)",
        "Required partition not available (inactive or drain)",
        "System submissions disabled",
        "Task count specification invalid",
        "Task distribution specification invalid",
        "User's group not permitted to use this partition",
        "X11 forwarding not available",
    }
)

# Errors that sbatch itself finds before it contacts the controller (22.05: 01-sbatch-basic.txt,
# opt.c and slurm_opt.c; the last two are those of cli_filter plugins and of the emulated sbatch).
_OWN = re.compile(
    r"unrecognized option '.*'|invalid option -- '.*'|option '.*' (?:requires|doesn't allow) an "
    r"argument|option '.*' is ambiguous.*"
    r"|Invalid --?[\w-]+ specification.*|Invalid numeric value \".*\" for -.*"
    r"|Invalid generic resource \(gres\) specification"
    r"|Invalid Trackable RESource \(TRES\) specification|.* are mutually exclusive\.?"
    r"|Batch script is empty!|Batch script contains (?:only whitespace!|DOS line breaks.*)"
    r"|This does not look like a batch script\..*|Unable to open file .*"
    r"|Script arguments not permitted with --wrap option"
    r"|No cluster '.*' known by database\.|Unable to process configuration file"
    r"|Could not establish a configuration source"
    r"|cli_filter plugin terminated with error|hpcsweep emulator: .* not emulated"
)
# To `--requeue=expedite` (22.05, 24.11).
_NO_EXPEDITE = "option '--requeue' doesn't allow an argument"
_TEST = "allocation failure"
_FAILED = re.compile(rf"(?:Batch job submission failed|{_TEST}): (.*)")
_PREFIX = re.compile(r"sbatch: (?:error: |fatal: )?")
# The queue is full (MaxJobCount): sbatch tries 16 times in 120 s (22.05: 06-limits.txt). Its last
# error, `_FULL`, is that of EAGAIN, which without these retries might have another cause.
_RETRIES = re.compile(r"\bretrying\b")
_SAYS_FULL = "unable to accept job"
# What a site's wrapper, with a parser of its own, says about an option that it does not know.
_NO_PARSABLE = re.compile(
    r"(?:unrecogni[sz]ed|unknown|invalid|illegal|no such) (?:option|argument)s?:?\s+"
    r"['\"`]?--parsable\b",
    re.IGNORECASE,
)
# A job_submit plugin that refuses without a code of its own; its message comes before.
_UNSPECIFIED = "Unspecified error"


def verdict(stderr: str) -> Verdict:
    """Whether an sbatch that failed with this text left an array on the cluster."""
    lines = list(_lines(stderr))
    answers = [match[1] for line in lines if (match := _FAILED.fullmatch(line))]
    if not answers:
        is_own = any(_OWN.fullmatch(line) for line in lines)
        return Verdict.REFUSED if is_own else Verdict.UNKNOWN
    answer = answers[-1]
    # --test-only does not retry.
    says_full = any(_SAYS_FULL in line or line == f"{_TEST}: {_FULL}" for line in lines)
    if answer in _ANSWERS or (answer == _FULL and says_full):
        return Verdict.REFUSED
    if _OWN.fullmatch(answer):  # an error of the emulated controller
        return Verdict.REFUSED
    return Verdict.UNSPECIFIED if answer == _UNSPECIFIED else Verdict.UNKNOWN


def lacks_parsable(output: str) -> bool:
    """Whether an sbatch does not know the option `--parsable`, and so has sent nothing."""
    return _NO_PARSABLE.search(output) is not None


def is_waiting(line: str) -> bool:
    """Whether a line of sbatch announces a retry."""
    return _RETRIES.search(line) is not None


def plain(line: str) -> str:
    """One line of sbatch without its prefix `sbatch: error: `."""
    return _PREFIX.sub("", line.strip(), count=1)


def lacks_room(stderr: str) -> bool:
    """Whether a refusal is for want of room in the queue, which there may be later."""
    lines = list(_lines(stderr))
    answers = _answers(lines)
    return bool(answers & _NO_ROOM) or (bool(answers & _LIMITS) and _counts_jobs(lines))


def next_step(stderr: str) -> str:
    """What a user can do about a refusal; empty if the options are wrong."""
    lines = list(_lines(stderr))
    answers = _answers(lines)
    if answers & _NO_ROOM:
        return (
            "The cluster's queue is full, for everybody: submit again later. Each array task "
            "counts, so a larger `chunk:` (fewer tasks) helps."
        )
    if answers & _LIMITS:
        if _counts_jobs(lines):
            return (
                "This limit counts array tasks, queued and running: send fewer with a larger "
                "`chunk:`, or submit again when some have ended. `sacctmgr show assoc` and "
                "`sacctmgr show qos` tell the limits."
            )
        return (
            f"A task asks for more than {_limits(lines)[0]} allows: ask for less of it in "
            "`slurm:`, or name another qos or account. `sacctmgr show qos` tells the limits."
        )
    if _NO_EXPEDITE in lines:
        return "This Slurm is older than 25.11: remove `requeue: expedite` from `slurm:`."
    if _UNSUPPORTED in answers:
        return (
            "Where `slurm:` has `requeue: expedite`, remove it: the site has not switched it on "
            "(SlurmctldParameters=enable_expedited_requeue)."
        )
    if _ARRAY in answers:
        return (
            "The cluster takes smaller arrays than it says (MaxArraySize): make `chunk:` larger; "
            "or write, where a site switched them off, `limits: {max_array_size: 0}`."
        )
    return ""


def _answers(lines: Iterable[str]) -> set[str]:
    """The controller's answers."""
    return {match[1] for line in lines if (match := _FAILED.fullmatch(line))}


def _limits(lines: Iterable[str]) -> list[str]:
    """The names of the limits that sbatch prints before the answer."""
    return [line for line in lines if re.fullmatch(r"(?:QOS|Assoc)\w+", line)]


def _counts_jobs(lines: list[str]) -> bool:
    """Whether the limit is one on jobs in the queue; so it is where none is named."""
    limits = _limits(lines)
    return not limits or any("Submit" in line for line in limits)


def _lines(stderr: str) -> Iterator[str]:
    for line in re.split(r"\n|; ", stderr):
        if line.strip():
            yield plain(line)
