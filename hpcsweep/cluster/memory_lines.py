"""The lines that slurmstepd writes into the output of a job whose memory was exhausted. Pure."""

from __future__ import annotations

import re

# `slurmstepd: error:` up to 21.08 without, then with the node's name; 26.05 begins with the time.
_STEPD = r"^(?:slurmstepd(?:-[\w.-]+)?:|\[[\dT:.-]+\]) error: "
# At the end of a step below task/cgroup: `1 oom-kill event(s)` of 22.05, `1 oom_kill event` of
# 24.11 and 26.05.
_OOM_KILLED = r"Detected [1-9]\d* oom[-_]kill event\S* in StepId={job_id}\.\w+"
# With JobAcctGatherParams=OverMemoryKill; the state is then FAILED (22.05).
_OVER_LIMIT = r"StepId={job_id}\.\w+ exceeded memory limit \(\d+ > \d+\), being killed"
# It ends a start whose job is requeued into the same file, with the same job id.
_REQUEUED = r"\*\*\* JOB {job_id} ON \S+ CANCELLED AT \S+ DUE TO "


def ran_out_of_memory(output: str, job_id: str, *, is_restart: bool) -> bool:
    """Whether the last start of a job used all memory that the job asked for.

    `output` may be only the end of the job's output. Only lines that begin as slurmstepd begins
    them and name this job count: a program of the user's prints whatever it likes. Of a restarted
    job only lines after the end of an earlier start count.
    """
    if is_restart:
        starts = _after_each(_REQUEUED, output, job_id)
        if not starts:
            return False
        output = output[starts[-1] :]
    return bool(_after_each(f"(?:{_OOM_KILLED}|{_OVER_LIMIT})", output, job_id))


def _after_each(message: str, output: str, job_id: str) -> list[int]:
    """The positions after each line of slurmstepd with this message."""
    pattern = _STEPD + message.format(job_id=re.escape(job_id))
    return [match.end() for match in re.finditer(pattern, output, re.MULTILINE)]
