"""simple_slurm: an array by sbatch, a command by srun, the queue."""

from pathlib import Path

from simple_slurm import Slurm

slurm = Slurm(
    array=range(3),
    cpus_per_task=1,
    job_name="simple",
    wait=True,
    output=f"out_{Slurm.JOB_ARRAY_ID}",
    mail_type=["END", "FAIL"],
    time="00:05:00",
)
assert slurm.sbatch(f"echo task {Slurm.SLURM_ARRAY_TASK_ID}") > 0
texts = {Path(f"out_{number}").read_text() for number in range(3)}
assert texts == {f"task {number}\n" for number in range(3)}
assert Slurm(ntasks=2).srun("echo hi") == 0
slurm.squeue.update_squeue()
