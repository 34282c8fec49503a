"""Lines of slurmstepd about memory, as each version writes them; and lines that are none."""

from __future__ import annotations

import pytest

from hpcsweep.cluster.memory_lines import ran_out_of_memory

HANDLER = "Some of your processes may have been killed by the cgroup out-of-memory handler."
KILLED = "Some of the step tasks have been OOM Killed."
OOM_22 = f"slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=7.batch. {HANDLER}\n"
OOM_24 = f"slurmstepd-n1: error: Detected 1 oom_kill event in StepId=7.batch. {KILLED}\n"
REQUEUED = (
    "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-20T13:52:20 DUE TO JOB REQUEUE ***"
)
OVER = (
    "slurmstepd-n1: error: StepId=7.batch exceeded memory limit (185372672 > 104857600), "
    "being killed\n"
)


@pytest.mark.parametrize(
    "output",
    [
        OOM_22,
        OOM_22.replace("slurmstepd-n1", "slurmstepd"),
        OOM_22.replace("batch", "0").replace("n1", "gpu-a.site"),
        OOM_24,
        OOM_24.replace("1 oom_kill event", "12 oom_kill events"),
        OOM_24.replace("slurmstepd-n1:", "[2026-11-29T08:49:37.968]"),
        OVER,
        f"begin\n{OVER}{REQUEUED.replace('DUE TO JOB REQUEUE ', '')}\n",
    ],
)
def test_slurmstepd_says_that_the_memory_was_exhausted(output: str) -> None:
    assert ran_out_of_memory(output, "7", is_restart=False)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Killed\n",
        f"{HANDLER}\n",
        OOM_22.replace("slurmstepd-n1: error: ", ""),  # a program of the user's
        f"my log: {OOM_22}",
        OOM_22.replace("StepId=7.", "StepId=70."),  # another element's
        OOM_22.replace("StepId=7.", "StepId=6."),
        OOM_22.replace("Detected 1", "Detected 0"),
        OVER.replace("=7.", "=8."),
        "srun: error: n1: task 0: Out Of Memory\n",  # which job's it is, it does not say
    ],
)
def test_other_lines_say_nothing(output: str) -> None:
    assert not ran_out_of_memory(output, "7", is_restart=False)


@pytest.mark.parametrize(
    ("output", "is_so"),
    [
        (f"{OOM_22}{REQUEUED}\nrun 1\n", False),
        (f"{REQUEUED}\n{OOM_22}", True),
        (f"{REQUEUED}\n{OOM_22}{REQUEUED}\n", False),
        (OOM_22, False),  # the end of the earlier start is beyond what was read, or unwritten
    ],
)
def test_of_a_restarted_job_only_the_last_start_counts(output: str, is_so: bool) -> None:
    assert ran_out_of_memory(output, "7", is_restart=True) is is_so
