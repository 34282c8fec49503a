"""The states and comments of PBS's jobs, in the words of `cluster.states` and `cluster.reasons`.

Pure. The letters are those of OpenPBS 23.06; another one is no word of the table, so unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# X: an element that is over in an array that is not; F: what is over, in the history.
OVER = frozenset("XF")
_STATES = {
    "B": "RUNNING",
    "E": "COMPLETING",
    "F": "COMPLETED",
    "H": "PENDING",
    "M": "REVOKED",
    "Q": "PENDING",
    "R": "RUNNING",
    "S": "SUSPENDED",
    "T": "PENDING",
    "U": "SUSPENDED",
    "W": "PENDING",
    "X": "COMPLETED",
}
# Of a job that was ended by qdel.
_DELETED = "91"
# "Job run at … and exceeded resource walltime".
_EXCEEDED = re.compile(r"exceeded resource (\w+)")
_ENDS = {
    "walltime": "TIMEOUT",
    "cput": "TIMEOUT",
    **dict.fromkeys(("mem", "pmem", "vmem", "pvmem"), "OUT_OF_MEMORY"),
}
# Beginnings of comments, and what they mean; the first one that fits counts.
_COMMENTS = (
    (re.compile(r"Can Never Run: (.*)"), "CanNeverRun"),
    (re.compile(r"Not Running: (Queue not started.*)"), "PartitionInactive"),
    (re.compile(r"Not Running: (.*)"), "NotRunning"),
)


def queue_state(letter: str) -> str:
    """The word for a letter of qstat."""
    return _STATES.get(letter, letter)


def reason(job: Mapping[str, str]) -> str:
    """Why a job does not start: a word, and behind a colon the scheduler's own; "" for none."""
    comment, holds = job.get("comment", ""), job.get("Hold_Types", "n")
    if job.get("job_state") == "H":
        if "u" in holds:
            return "UserHold"
        # An array before its closing job has one, too: `beforeany`.
        return "Dependency" if job.get("depend", "").startswith("after") else "SystemHold"
    for pattern, word in _COMMENTS:
        if match := pattern.match(comment):
            return f"{word}: {match[1]}"
    return ""


def ended_state(job: Mapping[str, str]) -> str | None:
    """How a job of the history ended; None for one that is not over.

    An element without an exit status never ran: it was deleted from the queue.
    """
    if job.get("job_state", "") not in OVER:
        return None
    exceeded = _EXCEEDED.search(job.get("comment", ""))
    if exceeded:
        return _ENDS.get(exceeded[1], "FAILED")
    if job.get("substate") == _DELETED or "Exit_status" not in job:
        return "CANCELLED"
    return "COMPLETED" if job["Exit_status"] == "0" else "FAILED"
