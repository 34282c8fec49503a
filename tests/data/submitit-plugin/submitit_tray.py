"""A plugin of submitit for a scheduler that is no Slurm: a tray of jobs, two of them at work.

`python -m submitit_tray` is the scheduler. It takes jobs out of the directory `$TRAY` and keeps
their states there; THROUGH is a word of its own. A job that was told to end is put back when its
exit code is 75, unless it was cancelled.
"""

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from submitit.core import core, job_environment, utils

AT_ONCE = 2
AGAIN = 75


def place() -> Path:
    return Path(os.environ["TRAY"])


def put(path: Path, text: str) -> None:
    new = path.with_suffix(f".new{os.getpid()}")
    new.write_text(text)
    new.rename(path)


class TrayWatcher(core.InfoWatcher):
    def get_state(self, job_id: str, mode: str = "standard") -> str:  # noqa: ARG002
        state = place() / f"{job_id}.state"
        return state.read_text() if state.exists() else "UNKNOWN"

    def update(self) -> None:
        pass


class TrayJob(core.Job):
    watcher = TrayWatcher()

    def cancel(self, check: bool = True) -> None:  # noqa: ARG002
        put(place() / f"{self.job_id}.cancel", "")


class TrayJobEnvironment(job_environment.JobEnvironment):
    _env: ClassVar[dict[str, str]] = {
        "job_id": "TRAY_JOB",
        "num_tasks": "TRAY_NONE",
        "num_nodes": "TRAY_NONE",
        "node": "TRAY_NONE",
        "global_rank": "TRAY_NONE",
        "local_rank": "TRAY_NONE",
    }


class TrayExecutor(core.PicklingExecutor):
    job_class = TrayJob

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return {"partition"}

    @property
    def _submitit_command_str(self) -> str:
        return f"{sys.executable} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"

    def _num_tasks(self) -> int:
        return 1

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        raise NotImplementedError

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        raise NotImplementedError

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        raise NotImplementedError

    def _submit_command(self, command: str) -> TrayJob:
        for number in itertools.count():
            job_id = f"tray-{number}"
            try:
                (place() / f"{job_id}.taken").touch(exist_ok=False)
                break
            except FileExistsError:
                continue
        put(place() / f"{job_id}.state", "PENDING")
        order = {"command": command, "folder": str(self.folder), "parameters": self.parameters}
        put(place() / f"{job_id}.job", json.dumps(order))
        return TrayJob(folder=self.folder, job_id=job_id, tasks=[0])


def start(job: Path) -> subprocess.Popen[bytes]:
    order = json.loads(job.read_text())
    paths = utils.JobPaths(order["folder"], job_id=job.stem, task_id=0)
    environment = os.environ | {"SUBMITIT_EXECUTOR": "tray", "TRAY_JOB": job.stem}
    put(job.with_suffix(".state"), "RUNNING")
    with paths.stdout.open("ab") as out, paths.stderr.open("ab") as err:
        return subprocess.Popen(
            shlex.split(order["command"]), env=environment, stdout=out, stderr=err
        )


Running = dict[Path, subprocess.Popen[bytes]]


def hear(running: Running) -> None:
    """Cancel and preempt."""
    for cancelled in place().glob("*.cancel"):
        job = cancelled.with_suffix(".job")
        if job in running:
            running[job].send_signal(signal.SIGTERM)
        elif job.exists():
            put(job.with_suffix(".state"), "THROUGH")
            job.unlink()
            cancelled.unlink()
    for preempted in place().glob("*.preempt"):
        running[preempted.with_suffix(".job")].send_signal(signal.SIGTERM)
        preempted.unlink()


def reap(running: Running) -> None:
    """Note what has ended, and put back what is to start again."""
    for job, process in list(running.items()):
        if process.poll() is not None:
            del running[job]
            cancelled = job.with_suffix(".cancel")
            again = process.returncode == AGAIN and not cancelled.exists()
            put(job.with_suffix(".state"), "PENDING" if again else "THROUGH")
            cancelled.unlink(missing_ok=True)
            if not again:
                job.unlink()


def serve() -> None:
    running: Running = {}
    while not (place() / "stop").exists():
        hear(running)
        reap(running)
        for job in sorted(place().glob("*.job")):
            if job not in running and len(running) < AT_ONCE:
                running[job] = start(job)
        time.sleep(0.05)
    for process in running.values():
        process.terminate()


if __name__ == "__main__":
    serve()
