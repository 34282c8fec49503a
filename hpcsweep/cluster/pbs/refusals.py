"""The error messages of PBS: which are no answer of the server, and what to do next. Pure.

An answer of the server is a refusal. What is listed here comes from a connection that failed, maybe
after the server took the job (texts of OpenPBS 23.06).
"""

from __future__ import annotations

import re

from hpcsweep.cluster.process import Answer

_UNANSWERED = re.compile(
    r"cannot connect to server|Communication failure|End of File|[Pp]rotocol|timed? ?out"
    r"|Connection (?:refused|reset)|Broken pipe|Premature end|pbsconf error"
    r"|errno=\d+|Server shutting down|System error|Internal server error"
)
# Limits on jobs in the queue: there is room when some have ended.
NO_ROOM = re.compile(r"would exceed .*limit|Maximum number of jobs already in queue")
_NEXT = (
    (NO_ROOM, "This limit counts array tasks: send fewer with a larger `chunk:`, or later."),
    (
        re.compile("Array job exceeds server or queue size limit"),
        "The queue takes smaller arrays than the server (max_array_size): make `chunk:` larger.",
    ),
    (
        re.compile("Job violates queue and/or server resource limits"),
        "Ask for less in `slurm:`: `qstat -Qf` shows the limits of queues (resources_max).",
    ),
    (
        re.compile("illegal -J value"),
        "Before OpenPBS 22.05 arrays have no throttle: leave `--throttle` out.",
    ),
    (re.compile("Unknown queue"), "`qstat -Q` lists the queues; `partition` names one."),
)
_OTHERWISE = "Change `slurm:` in the manifest, or --set slurm.OPTION=…."


def is_unanswered(answer: Answer) -> bool:
    """Whether a program of PBS got no answer of the server, or was killed."""
    return answer.returncode < 0 or _UNANSWERED.search(answer.stderr) is not None


def next_step(complaint: str) -> str:
    """What a user can do about a refusal."""
    return next((step for pattern, step in _NEXT if pattern.search(complaint)), _OTHERWISE)
