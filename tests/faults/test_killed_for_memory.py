"""Workers that are killed with their case for want of memory, where no state names the reason."""

from __future__ import annotations

from pathlib import Path

from tests.support.clusters import Cluster, RealCluster, started_emulated
from tests.support.fixtures import MakeSlurm
from tests.support.fronted import Fronted
from tests.support.project import Project, check_whole

# The kernel kills what it likes of a job that is over its memory: here the process that holds the
# memory, and the worker. Slurm itself kills all processes of the job.
HOG = """\
import os, signal, time
from pathlib import Path

HERE = Path(__file__).parent


def run(x):
    if x == 1 and not (HERE / "mended").exists():
        hog = os.fork()
        if hog == 0:
            held = bytearray(300 << 20)
            time.sleep(600)
            os._exit(0)
        os.waitpid(hog, 0)
        stat = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(600)
    return {"square": x * x}
"""


def check_killed_for_memory(project: Project) -> None:
    """The case that used the memory is known; those before and behind it are not blamed."""
    seen = project.wait_status(lambda seen: not seen["tasks"], "the verdict")
    assert seen["reasons"]["out_of_memory"] >= 1, seen["reasons"]
    assert "lost" not in seen["reasons"]
    rows = {index: (row["status"], row["reason"]) for index, row in project.rows().items()}
    assert (rows[0], rows[1]) == (("complete", None), ("failed", "out_of_memory"))
    (project.root / "mended").touch()
    project.submit("--wait", "--rerun", "failed")
    check_whole(project, 3)


def test_a_worker_killed_for_memory_that_the_cluster_forgot(tmp_path: Path) -> None:
    """Neither the queue nor the accounting knows the task: its output does."""
    with started_emulated(mem_poll_s=0.05) as cluster:
        front = Fronted(cluster, tmp_path)
        project = Project(front, tmp_path / "project", 3, chunk=3, target=HOG)
        project.submit()
        cluster.wait_for(project.job(), 0, "OUT_OF_MEMORY")
        front.before("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
        front.before("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
        project.wait_status(lambda seen: not seen["tasks"], "the verdict")
        front.before("sacct", "")
        front.before("squeue", "")
        check_killed_for_memory(project)


def test_a_real_slurm_that_kills_a_job_for_its_memory(
    private_slurm: MakeSlurm, tmp_path: Path
) -> None:
    """With OverMemoryKill it calls the job FAILED (22.05), which does not name memory."""
    slurm = private_slurm(
        extra=(
            "SelectTypeParameters=CR_Core_Memory",
            "JobAcctGatherParams=OverMemoryKill",
            "JobAcctGatherFrequency=1",
        )
    )
    cluster: Cluster = RealCluster(slurm)
    project = Project(cluster, tmp_path, 3, chunk=3, target=HOG)
    project.submit()
    cluster.wait_for(project.job(), 0, "FAILED")
    check_killed_for_memory(project)
