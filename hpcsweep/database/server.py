"""One server on this host: make its data, start it, tell whether it lives, end it."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import tempfile
import time
from pathlib import Path

from hpcsweep.database import configuration, programs, service_file
from hpcsweep.database.directory import DatabaseDirectory, JobRecord, ServerRecord
from hpcsweep.database.programs import Programs, ServerProcess
from hpcsweep.errors import StoreError
from hpcsweep.files import names, open_file, remove_tree, replace, token, write_plain
from hpcsweep.liveness import pid_namespace, this_process

# Seconds for a start, in which a server that was killed repairs its data, and for an end.
START_S = 120.0
STOP_S = 120.0
_POLL_S = 0.05
# Below the ports that the kernel hands out for outgoing connections (32768 and up).
PORTS = range(10_000, 32_000)
# Said for a moment after a kill: processes of the old server hold its shared memory.
_NOT_GONE_YET = "is still in use"
# The line of postmaster.pid that says how far the server is, and what it says then (10 and newer).
_STATUS_LINE, _READY = 7, "ready"


def refuse_root() -> None:
    """*Raises* StoreError for root, as whom PostgreSQL does not run."""
    if os.geteuid() == 0:
        raise StoreError(
            "PostgreSQL refuses to run as root",
            next_step="Call this as the user whose sweeps it shall hold.",
        )


def make_data(directory: DatabaseDirectory) -> Programs:
    """Make what a server needs and is missing. Returns the programs that fit the data.

    The caller holds the directory's claim. *Raises* StoreError. *Safe to repeat.*
    """
    refuse_root()
    version = directory.version()
    installed = programs.find_programs(version)
    if version is not None:
        return installed
    for name in names(directory.path):
        if name.startswith(".data."):  # of one that was killed
            remove_tree(directory.path / name)
    password = secrets.token_hex(32)
    aside = directory.path / f".data.{token()}"
    try:
        programs.run(
            [installed.path("initdb"), *configuration.initdb_arguments(aside)],
            answer=password + "\n",
            timeout_s=programs.INITDB_TIMEOUT_S,
        )
        line = f"*:*:*:{configuration.ROLE}:{password}\n"
        replace(directory.password_file, line.encode())
        aside.rename(directory.data)
    except BaseException:
        with contextlib.suppress(OSError):  # must not hide the original error
            remove_tree(aside)
        raise
    return installed


def make_certificate(directory: DatabaseDirectory) -> None:
    """Make key and certificate unless they are there. *Raises* StoreError. *Safe to repeat.*"""
    if directory.certificate.exists() and directory.key.exists():
        return
    with tempfile.TemporaryDirectory(dir=directory.path, prefix=".tls.") as aside:
        request, certificate, key = (Path(aside) / name for name in ("request", "crt", "key"))
        write_plain(request, configuration.CERTIFICATE_REQUEST.encode())
        programs.run(configuration.certificate_argv(str(request), certificate, key))
        key.chmod(0o600)
        certificate.chmod(0o600)
        # The certificate last: both are there where it is.
        key.replace(directory.key)
        certificate.replace(directory.certificate)


def start(
    directory: DatabaseDirectory, *, port: int | None, job: JobRecord | None
) -> ServerProcess:
    """Start a server, and write its section of the service file. Returns its process.

    With a `port` it listens to other hosts by TLS (0: any port that is free); without one it has a
    socket. The caller holds the directory's claim, and knows that no server uses the data.
    *Raises* StoreError with the server's own words.
    """
    installed = make_data(directory)
    socket_directory = "" if port is not None else make_socket_directory(directory)
    number = configuration.SOCKET_PORT if port is None else _free_port(port)
    record: ServerRecord = {
        "host": os.uname().nodename,
        "boot_id": this_process().get("boot_id"),
        "pid_namespace": pid_namespace(),
        "port": number,
        "socket": socket_directory,
        "started": time.time(),
        "job": job,
    }
    _configure(directory, socket_directory, number)
    # Before the server, so that a kill leaves a record; the `host` of a job says that it is ready.
    before = record.copy()
    before["host"] = record["host"] if job is None else ""
    directory.write_record(before)
    server = _spawn(directory, installed, apart=job is None)
    try:
        publish(directory, record)
        directory.write_record(record)
    except BaseException:
        server.send_signal(signal.SIGINT)
        server.wait()
        forget(directory)
        raise
    return server


def publish(directory: DatabaseDirectory, record: ServerRecord) -> None:
    """Write the section of the service file that leads to a server. *Safe to repeat.*"""
    entry = configuration.service_entry(
        host=record["socket"] or record["host"],
        port=record["port"],
        password_file=directory.password_file,
        certificate=None if record["socket"] else directory.certificate,
    )
    service_file.publish(directory.service, directory.path, entry)


def forget(directory: DatabaseDirectory) -> None:
    """Remove what a dead server that we started has left. *Safe to repeat.*

    PostgreSQL takes a process id in its lock files for a server of this host: also that of a
    process which was killed and not waited for yet, or of another one that has the id now.
    """
    record = directory.record()
    if record is None:  # what somebody started by hand is for PostgreSQL to judge
        return
    (directory.data / "postmaster.pid").unlink(missing_ok=True)
    if record["socket"]:
        made = configuration.socket_path(Path(record["socket"]))
        with contextlib.suppress(OSError):  # a temporary directory that is gone, or another user's
            for path in (made, made.with_name(f"{made.name}.lock")):
                path.unlink(missing_ok=True)
            if made.parent != directory.path:
                made.parent.rmdir()
    directory.remove_record()


def postmaster(directory: DatabaseDirectory) -> int | None:
    """The process of this host that serves the data; None without one."""
    lines = _pid_lines(directory)
    if not lines or not lines[0].strip().isdecimal():
        return None
    pid = int(lines[0])
    # Another process may have its old id. The directory stands last: see `spawn_server`.
    is_own = programs.command_line(pid).endswith(f" -D {directory.data}")
    return pid if is_own else None


def _pid_lines(directory: DatabaseDirectory) -> list[str]:
    """The lines of postmaster.pid; none without it."""
    try:
        return (directory.data / "postmaster.pid").read_text(errors="replace").splitlines()
    except OSError:
        return []


def end(directory: DatabaseDirectory, pid: int) -> None:
    """End a server of this host: it disconnects its clients and writes all it has to disk.

    *Raises* StoreError when that takes too long.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_S
    while postmaster(directory) == pid:
        if time.monotonic() > deadline:
            raise StoreError(
                f"the server (process {pid}) has not ended within {STOP_S:g} s",
                where=str(directory.path),
                next_step=f"It may still write to a slow disk; {directory.log} says what it does. "
                "Run the command again later.",
            )
        time.sleep(_POLL_S)


def _spawn(directory: DatabaseDirectory, installed: Programs, *, apart: bool) -> ServerProcess:
    """Start the server, and wait until it takes connections."""
    log = open_file(directory.log, os.O_WRONLY | os.O_APPEND)
    deadline = time.monotonic() + START_S
    try:
        while True:
            begin = os.lseek(log, 0, os.SEEK_END)
            server = programs.spawn_server(installed, directory.data, log, apart=apart)
            if _becomes_ready(directory, server, deadline):
                return server
            with directory.log.open("rb") as stream:
                stream.seek(begin)
                message = stream.read().decode(errors="replace")
            if _NOT_GONE_YET not in message or time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
    finally:
        os.close(log)
    forget(directory)
    raise StoreError(
        f"the server did not start: {programs.complaint(message)}",
        where=str(directory.path),
        next_step=programs.remedy(message) or f"Its log is {directory.log}.",
    )


def _becomes_ready(directory: DatabaseDirectory, server: ServerProcess, deadline: float) -> bool:
    """Wait until a server takes connections; False when it ended, or was ended, before."""
    try:
        while server.poll() is None:
            lines = _pid_lines(directory)
            is_own = len(lines) > _STATUS_LINE and lines[0].strip() == str(server.pid)
            if is_own and lines[_STATUS_LINE].strip() == _READY:
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
    except BaseException:
        server.send_signal(signal.SIGINT)
        server.wait()
        raise
    server.send_signal(signal.SIGINT)
    server.wait()
    return False


def _configure(directory: DatabaseDirectory, socket_directory: str, port: int) -> None:
    if not socket_directory:
        make_certificate(directory)
    settings = configuration.server_settings(
        socket_directory=socket_directory,
        port=port,
        certificate=directory.certificate,
        key=directory.key,
    )
    rules = configuration.access_rules(socket_directory)
    replace(directory.data / "postgresql.conf", settings.encode())
    replace(directory.data / "pg_hba.conf", rules.encode())


def make_socket_directory(directory: DatabaseDirectory) -> str:
    """Where the socket is: in the database's directory, or in a new temporary one.

    *Raises* StoreError where neither path is short enough.
    """
    if configuration.fits_socket(directory.path):
        return str(directory.path)
    made = Path(tempfile.mkdtemp(prefix=f"hpcsweep-{os.getuid()}-"))
    if configuration.fits_socket(made):
        return str(made)
    made.rmdir()
    raise StoreError(
        f"a socket's path has at most {configuration.SOCKET_PATH_MAX} bytes, so there is no room "
        f"for one here, nor in {made.parent}",
        where=str(directory.path),
        next_step="Set TMPDIR to a shorter path, /tmp for example.",
    )


def _free_port(fixed: int) -> int:
    """The port, or any for 0, if nobody listens on it. *Raises* StoreError where somebody does."""
    for port in [fixed] if fixed else random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            # As PostgreSQL does: connections that ended a moment ago do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise StoreError(
        f"port {fixed or f'{PORTS[0]} to {PORTS[-1]}'} is taken on {os.uname().nodename}",
        next_step="Name another one by --port, or none for any that is free.",
    )
