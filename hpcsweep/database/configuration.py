"""What a private PostgreSQL is told: pure functions from paths and ports to text.

One role owns everything. It is the server's superuser, which gives it no more than the user has:
its password is in a file of mode 0600 that belongs to the user.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcsweep.cluster.slurm.text import directive
from hpcsweep.sweepdir.plan import ClusterRecord

ROLE = "hpcsweep"
# initdb makes this database; the server is nobody else's, so it needs no second one.
DATABASE = "postgres"
# Of a socket the port is part of its name.
SOCKET_PORT = 5432
# sun_path of unix(7) has 108 bytes, one of them for the final NUL.
SOCKET_PATH_MAX = 107
# Each connection of a task is one transaction, and is tried again where there is none free.
MAX_CONNECTIONS = 200
# A batch shell gets TERM so many seconds before the time limit, or up to 60 s earlier (22.05).
WARNING_SECONDS = 60


def socket_path(directory: Path) -> Path:
    """The socket that a server makes in a directory."""
    return directory / f".s.PGSQL.{SOCKET_PORT}"


def fits_socket(directory: Path) -> bool:
    """Whether the path of a socket in a directory is short enough for the kernel."""
    return len(str(socket_path(directory)).encode()) <= SOCKET_PATH_MAX


def server_settings(*, socket_directory: str, port: int, certificate: Path, key: Path) -> str:
    """The text of postgresql.conf: a socket in a directory, or, for "", TLS on a port."""
    settings: dict[str, str | int] = {
        "port": port,
        "unix_socket_permissions": "0700",
        "max_connections": MAX_CONNECTIONS,
        "password_encryption": "scram-sha-256",
        # A start that fails is explained from the server's own words.
        "lc_messages": "C",
        "log_timezone": "UTC",
    }
    if socket_directory:
        # A list: an element in double quotes may hold anything.
        element = socket_directory.replace('"', '""')
        settings |= {"listen_addresses": "", "unix_socket_directories": f'"{element}"'}
    else:
        settings |= {"listen_addresses": "*", "unix_socket_directories": ""}
        settings |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        settings |= {"ssl_min_protocol_version": "TLSv1.2"}
    lines = ["# Made anew at each start; `ALTER SYSTEM SET` keeps what you set."]
    lines += [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str | int) -> str:
    # A backslash escapes inside the quotes.
    return "'{}'".format(str(value).replace("\\", "\\\\").replace("'", "''"))


def access_rules(socket_directory: str) -> str:
    """The text of pg_hba.conf: by the socket or by TLS, and with the password."""
    return f"{'local all all' if socket_directory else 'hostssl all all all'} scram-sha-256\n"


def service_entry(
    *, host: str, port: int, password_file: Path, certificate: Path | None
) -> list[str]:
    """The lines of a service file that lead a client to the server.

    `certificate` is that of a server on another host: the client refuses any other one, whatever
    name it has. A job may run on another node each time, so the name says nothing.
    """
    lines = [f"host={host}", f"port={port}", f"dbname={DATABASE}", f"user={ROLE}"]
    lines.append(f"passfile={password_file}")
    if certificate is not None:
        # A Kerberos ticket would make libpq try its encryption first, which the server refuses.
        lines += ["sslmode=verify-ca", f"sslrootcert={certificate}", "gssencmode=disable"]
    return lines


# For `openssl req`: a site's own configuration may ask for a country, or be missing.
CERTIFICATE_REQUEST = f"""\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {ROLE}
[extensions]
basicConstraints = critical, CA:TRUE
"""


def certificate_argv(request: str, certificate: Path, key: Path) -> list[str]:
    """The command that makes a certificate signed by its own key; `request` is a file."""
    return [
        "openssl",
        "req",
        "-x509",
        "-config",
        request,
        "-nodes",
        "-days",
        "3650",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]


def initdb_arguments(data: Path) -> list[str]:
    """The arguments of initdb, which reads the password from its standard input."""
    return [
        f"--pgdata={data}",
        f"--username={ROLE}",
        "--pwfile=/dev/stdin",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
    ]


def job_script(options: Mapping[str, str], argv: Sequence[str]) -> str:
    """The batch script of a server's job. *Raises* InputError for an option in several lines.

    It is not requeued: a job that began again while its first node is only cut off from the
    network would be a second server of the same data.
    """
    own = {"no-requeue": "", "signal": f"B:TERM@{WARNING_SECONDS}"}
    lines = [f"#SBATCH {directive(name, value)}" for name, value in {**options, **own}.items()]
    return "\n".join(["#!/bin/bash", *lines, f"exec {shlex.join(argv)}", ""])


def job_argv(python: str, directory: Path, port: int, cluster: ClusterRecord) -> list[str]:
    """The command of a server's job; port 0 stands for any that is free."""
    module = ["-P", "-m", "hpcsweep.program", "hpcsweep.database.job"]
    return [python, *module, str(directory), str(port), json.dumps(cluster)]
