"""Start and stop a private PostgreSQL, here or on a node, and tell what it is doing."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import SingleJob
from hpcsweep.cluster.states import Life, meaning
from hpcsweep.database import configuration, programs, server, service_file
from hpcsweep.database.directory import (
    DatabaseDirectory,
    JobRecord,
    ServerRecord,
    is_database,
)
from hpcsweep.errors import ClusterUnavailable, HpcsweepError, StoreError
from hpcsweep.files import replace
from hpcsweep.liveness import pid_namespace, this_process
from hpcsweep.settings import Settings

JOB_NAME = "hpcsweep-db"
# Seconds between two looks at a job that is to begin or to end.
_POLL_S = 1.0


class ServerState(Enum):
    """What a server is doing."""

    RUNNING = "running"
    # Its job waits in the queue, or begins.
    QUEUED = "queued"
    STOPPED = "stopped"
    # It was started somewhere that cannot be asked from here.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerStatus:
    """What is known of a server."""

    state: ServerState
    # Where it was started; None where no server uses the data, or one that we did not start.
    record: ServerRecord | None = None
    # Why the state is not known, and what to do about it.
    why: str = ""
    next_step: str = ""


def poll(
    directory: DatabaseDirectory, settings: Settings, grace_s: float | None = None
) -> ServerStatus:
    """What the server of a database is doing.

    A job that queue and accounting lack is over when a second query `grace_s` later lacks it, too;
    with None nothing is asked twice, and the state is unknown.
    """
    record = directory.record()
    if record is None:
        # Started by hand, or none.
        return ServerStatus(
            state=ServerState.STOPPED
            if server.postmaster(directory) is None
            else ServerState.RUNNING
        )
    if record["job"] is not None:
        return _poll_job(directory, record, record["job"], settings, grace_s)
    process = this_process() | {"pid_namespace": pid_namespace()}
    if all(record.get(key) == process.get(key) for key in ("host", "boot_id", "pid_namespace")):
        state = ServerState.STOPPED if server.postmaster(directory) is None else ServerState.RUNNING
        return ServerStatus(state=state, record=record)
    if record["host"] == process["host"] and record["boot_id"] != process.get("boot_id"):
        # The host was started again since.
        return ServerStatus(state=ServerState.STOPPED, record=record)
    return ServerStatus(
        state=ServerState.UNKNOWN,
        record=record,
        why=f"it was started on {record['host']}, which cannot be asked from here",
        next_step=f"Run this on {record['host']}. If that is gone for good, remove "
        f"{directory.path / 'server.json'} and start again: two servers would destroy the data.",
    )


def _poll_job(
    directory: DatabaseDirectory,
    record: ServerRecord,
    job: JobRecord,
    settings: Settings,
    grace_s: float | None,
) -> ServerStatus:
    who = f"job {job['id']} of the cluster {job['cluster']['name'] or job['cluster']['kind']}"
    try:
        cluster = _cluster_of(job, directory, settings)
        life, state = _life(cluster, job["id"], grace_s)
    except HpcsweepError as error:
        return ServerStatus(
            state=ServerState.UNKNOWN,
            record=record,
            why=f"{who} cannot be asked about: {error.what}",
            next_step="Run this where its cluster is, or try again later.",
        )
    if life is Life.OVER:
        return ServerStatus(state=ServerState.STOPPED, record=record)
    if life is Life.UNKNOWN:
        return ServerStatus(
            state=ServerState.UNKNOWN,
            record=record,
            why=f"{who} is {state or 'neither in the queue nor in the accounting'}",
            next_step="Try again later.",
        )
    return ServerStatus(
        state=ServerState.RUNNING if record["host"] else ServerState.QUEUED, record=record
    )


def _cluster_of(job: JobRecord, directory: DatabaseDirectory, settings: Settings) -> Cluster:
    """The cluster of a job. *Raises* ClusterUnavailable where another one is here."""
    cluster = registry.reopen(job["cluster"], directory.path, settings)
    if not cluster.is_here or not registry.is_same(cluster, job["cluster"]):
        raise ClusterUnavailable("this cluster is not here")
    return cluster


def _life(cluster: Cluster, job_id: str, grace_s: float | None) -> tuple[Life, str]:
    """Whether a job can still do something, and its state. *Raises* ClusterUnavailable."""
    for pause_s in (0.0, grace_s):
        if pause_s is None:
            break
        time.sleep(pause_s)
        queued = cluster.poll_queue([job_id]).get((job_id, 0))
        if queued is not None:
            return meaning(queued.state)[0], queued.state
        rows = [row for row in cluster.poll_accounting([(job_id, 0)]) or [] if row.is_final]
        if rows:
            return meaning(rows[-1].state)[0], rows[-1].state
    return (Life.UNKNOWN if grace_s is None else Life.OVER), ""


def open_or_create(path: Path, service: str | None) -> DatabaseDirectory:
    """The database in a directory, which is made where it is new or empty.

    *Raises* StoreError, InputError, SweepError. *Writes* the directory.
    """
    server.refuse_root()
    path = path.absolute()
    if not is_database(path):
        name = service or re.sub(r"[^A-Za-z0-9_.-]", "_", path.name)
        service_file.check_name(name)
        service_file.check_free(name, path.resolve())
        programs.find_programs()  # before anything is written
        return DatabaseDirectory.create(path, name)
    database = DatabaseDirectory.open(path)
    if service not in (None, database.service):
        raise StoreError(
            f"the service of this database is {database.service!r}",
            where=str(path),
            next_step="Leave --service out: manifests may name it.",
        )
    return database


def start_here(directory: DatabaseDirectory, settings: Settings) -> ServerStatus:
    """Start a server on this host, unless one runs. Returns what there is now.

    *Raises* StoreError. *Safe to repeat.*
    """
    with directory.changing():
        status = _settled(directory, settings)
        if status.state is not ServerState.STOPPED:
            return _published(directory, status)
        started = server.start(directory, port=None, job=None)
        # It outlives this process: nobody here waits for its end.
        started.returncode = 0
        return ServerStatus(state=ServerState.RUNNING, record=directory.record())


def start_on_node(
    directory: DatabaseDirectory,
    cluster: Cluster,
    options: Mapping[str, str],
    port: int,
    settings: Settings,
) -> ServerStatus:
    """Submit a job that runs a server, unless one runs. Returns what there is now.

    `options` are sbatch's; port 0 stands for any that is free on the node. *Raises* StoreError,
    ClusterError. *Safe to repeat.*
    """
    with directory.changing():
        status = _settled(directory, settings)
        if status.state is not ServerState.STOPPED:
            return _published(directory, status)
        record = registry.record(cluster, cluster.limits().cluster_name)
        # What is missing is said here, and not by a job.
        server.make_data(directory)
        server.make_certificate(directory)
        argv = configuration.job_argv(sys.executable, directory.path, port, record)
        replace(directory.job_script, configuration.job_script(options, argv).encode())
        # Slurm would make it as the umask says.
        replace(directory.job_log, b"")
        job_id = cluster.submit_job(
            SingleJob(
                name=JOB_NAME, script=str(directory.job_script), output=str(directory.job_log)
            )
        )
        waiting: ServerRecord = {
            "host": "",
            "boot_id": None,
            "pid_namespace": None,
            "port": 0,
            "socket": "",
            "started": time.time(),
            "job": {"id": job_id, "cluster": record},
        }
        directory.write_record(waiting)
        return ServerStatus(state=ServerState.QUEUED, record=waiting)


def _published(directory: DatabaseDirectory, status: ServerStatus) -> ServerStatus:
    """Lead clients to a server that runs: the start that was killed may not have done so."""
    if status.state is ServerState.RUNNING and status.record is not None:
        server.publish(directory, status.record)
    return status


def wait_for_job(directory: DatabaseDirectory, settings: Settings) -> ServerStatus:
    """Wait until the server of a job takes connections. *Raises* StoreError when the job ended."""
    polled_at = time.monotonic()
    while (record := directory.record()) is not None:
        if record["host"]:
            return ServerStatus(state=ServerState.RUNNING, record=record)
        if time.monotonic() - polled_at >= settings.query_interval_s:
            polled_at = time.monotonic()
            if poll(directory, settings, settings.grace_s).state is ServerState.STOPPED:
                break
        time.sleep(_POLL_S)
    what, next_step = _last_error(directory)
    raise StoreError(
        f"the job of the server has ended: {what}",
        where=str(directory.path),
        next_step=next_step or f"See {directory.job_log}, and the server's log {directory.log}.",
    )


def _last_error(directory: DatabaseDirectory) -> tuple[str, str]:
    """What the last job said went wrong, and what to do about it, if it said that."""
    try:
        text = directory.job_log.read_text(errors="replace")
    except OSError:
        text = ""
    _, is_own, message = text.rpartition("hpcsweep: ")
    if not is_own:
        return programs.complaint(text), ""
    what, _, next_step = message.strip().partition("\n  ")
    return what, next_step


def stop(directory: DatabaseDirectory, settings: Settings) -> bool:
    """End the server, with all it has on disk. Returns whether there was one.

    *Raises* StoreError, ClusterError. *Safe to repeat.*
    """
    with directory.changing():
        status = _settled(directory, settings)
        if status.state is ServerState.STOPPED:
            return False
        if status.record is not None and status.record["job"] is not None:
            _cancel(directory, status.record["job"], settings)
        else:
            pid = server.postmaster(directory)
            if pid is not None:
                server.end(directory, pid)
        server.forget(directory)
        return True


def _settled(directory: DatabaseDirectory, settings: Settings) -> ServerStatus:
    """Poll, and remove what a dead server left. *Raises* StoreError for an unknown state."""
    status = poll(directory, settings, settings.grace_s)
    if status.state is ServerState.UNKNOWN:
        raise StoreError(
            f"it is not known whether its server runs: {status.why}",
            where=str(directory.path),
            next_step=status.next_step,
        )
    if status.state is ServerState.STOPPED:
        server.forget(directory)
    return status


def _cancel(directory: DatabaseDirectory, job: JobRecord, settings: Settings) -> None:
    """Cancel the job of a server, and wait for its end."""
    cluster = _cluster_of(job, directory, settings)
    cluster.cancel([job["id"]])
    deadline = time.monotonic() + server.STOP_S
    # The job removes the record when its server has ended; one that was killed does not.
    while directory.record() is not None:
        if _life(cluster, job["id"], settings.grace_s)[0] is Life.OVER:
            return
        if time.monotonic() > deadline:
            raise StoreError(
                f"job {job['id']} was cancelled, and has not ended within {server.STOP_S:g} s",
                where=str(directory.path),
                next_step="Run the command again later.",
            )
        time.sleep(_POLL_S)
