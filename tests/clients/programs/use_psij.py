"""psij-python: a job through its Slurm executor, on two nodes."""

from datetime import timedelta
from pathlib import Path

import psij

attributes = psij.JobAttributes(duration=timedelta(minutes=5), queue_name="main")
resources = psij.ResourceSpecV1(node_count=2, processes_per_node=1)
job = psij.Job(
    psij.JobSpec(
        executable="/bin/sh",
        arguments=["-c", "echo $SLURM_NNODES"],
        attributes=attributes,
        resources=resources,
        launcher="srun",
        stdout_path=Path.cwd() / "out",
    )
)
executor = psij.JobExecutor.get_instance("slurm")
executor.submit(job)
status = job.wait(timedelta(minutes=2))
assert status is not None, "the job is not over"
assert status.state == psij.JobState.COMPLETED, status
assert Path("out").read_text().split() == ["2", "2"]
