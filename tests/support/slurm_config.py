"""The configuration of a private Slurm, as text. Facts: Slurm 22.05.8 of Debian 12."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

# With Slurm's own defaults 9.5 tasks a second start on two cores, with these about 50.
FAST_SCHEDULER = "bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=100000"


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What a test may want different in its own cluster."""

    # Empty: a name that no other cluster has.
    cluster_name: str = ""
    # Seconds between SIGTERM and SIGKILL of a job that is ended.
    kill_wait: int = 5
    # Seconds that the controller remembers a finished job.
    min_job_age: int = 300
    # Seconds; a requeued job starts again one second later (121 s with Slurm's default).
    cred_expire: int = 5
    # One more than the highest array index.
    max_array_size: int = 100_001
    # Count of jobs that the controller holds, every element and every finished one included.
    max_job_count: int = 200_000
    # Seconds without an answer until a node counts as down.
    slurmd_timeout: int = 300
    # Whether there are a database, slurmdbd and so sacct.
    accounting: bool = True
    # Count of nodes: n1, n2 …; each has `cpus` CPUs and `memory_mb` megabytes.
    nodes: int = 4
    cpus: int = 4
    memory_mb: int = 4000
    # Count of pretended GPUs of each node, which are links to /dev/null.
    gpus: int = 0
    # Their type, such as a100.
    gpu_type: str = ""
    # The text of a job_submit.lua: what the site says to each job, and whether it takes it.
    job_submit: str = ""
    # Further lines of slurm.conf; of a key that is given twice the later value counts.
    extra: tuple[str, ...] = ()

    @property
    def node_names(self) -> list[str]:
        """The names of the nodes."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Free TCP ports of this machine."""

    controller: int
    database: int
    # The first of consecutive ones, one a node.
    first_node: int


def munge_socket(directory: Path) -> Path:
    """Where the cluster's own munged listens."""
    return directory / "munge.sock"


def slurm_conf(directory: Path, options: SlurmOptions, ports: Ports) -> str:
    """The text of slurm.conf."""
    host = socket.gethostname().partition(".")[0]
    nodes = f"n[1-{options.nodes}]"
    last_port = ports.first_node + options.nodes - 1
    address = f"NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports.first_node}-{last_port}]"
    gres = ["gpu", *filter(None, [options.gpu_type]), str(options.gpus)]
    lines = [
        f"ClusterName={options.cluster_name}",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={ports.controller}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={munge_socket(directory)},cred_expire={options.cred_expire}",
        f"StateSaveLocation={directory}/state",
        f"SlurmctldPidFile={directory}/slurmctld.pid",
        f"SlurmctldLogFile={directory}/slurmctld.log",
        f"SlurmdSpoolDir={directory}/spool/%n",
        # PMIx makes a directory for each step there; in /tmp, nodes on one host would share it.
        f"TmpFS={directory}/spool/%n",
        f"SlurmdPidFile={directory}/slurmd.%n.pid",
        f"SlurmdLogFile={directory}/slurmd.%n.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        # Or the nodes come up INVALID: their CPUs and memory are larger than the machine's.
        "SlurmdParameters=config_overrides",
        "SchedulerType=sched/backfill",
        f"SchedulerParameters={FAST_SCHEDULER}",
        "ReturnToService=2",
        f"KillWait={options.kill_wait}",
        f"MinJobAge={options.min_job_age}",
        f"MaxArraySize={options.max_array_size}",
        f"MaxJobCount={options.max_job_count}",
        f"SlurmdTimeout={options.slurmd_timeout}",
        "JobAcctGatherType=jobacct_gather/linux",
        *_accounting_lines(directory, options, ports),
        *(["JobSubmitPlugins=lua"] if options.job_submit else []),
        *options.extra,
        *(["GresTypes=gpu"] if options.gpus else []),
        f"NodeName={nodes} {address} CPUs={options.cpus} RealMemory={options.memory_mb}"
        + (f" Gres={':'.join(gres)}" if options.gpus else ""),
        f"PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE State=UP",
    ]
    return "\n".join(lines) + "\n"


def gres_conf(directory: Path, options: SlurmOptions) -> str:
    """The text of gres.conf: the files of the GPUs, which are `gpu0`, `gpu1`, ... for all nodes."""
    gpu_type = f" Type={options.gpu_type}" if options.gpu_type else ""
    files = f"{directory}/gpu[0-{options.gpus - 1}]"
    return f"NodeName=n[1-{options.nodes}] Name=gpu{gpu_type} File={files}\n"


def _accounting_lines(directory: Path, options: SlurmOptions, ports: Ports) -> list[str]:
    if not options.accounting:
        return ["AccountingStorageType=accounting_storage/none"]
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={ports.database}",
        # Where auth/munge is in use this is the socket for talking to slurmdbd, not a password.
        f"AccountingStoragePass={munge_socket(directory)}",
    ]


def slurmdbd_conf(directory: Path, ports: Ports) -> str:
    """The text of slurmdbd.conf; the file must have mode 0600."""
    lines = [
        "AuthType=auth/munge",
        f"AuthInfo=socket={munge_socket(directory)}",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={ports.database}",
        "SlurmUser=root",
        "StorageType=accounting_storage/mysql",
        # "localhost" makes the client library use the socket that MYSQL_UNIX_PORT names.
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm_acct_db",
        f"LogFile={directory}/slurmdbd.log",
        f"PidFile={directory}/slurmdbd.pid",
    ]
    return "\n".join(lines) + "\n"


def mariadb_socket(directory: Path) -> Path:
    """Where the cluster's own MariaDB listens; it has no port."""
    return directory / "mysql.sock"


def mariadb_install_options(directory: Path) -> list[str]:
    """Arguments of mariadb-install-db: root may enter by the socket, without a password."""
    return [
        *_mariadb_place(directory),
        "--skip-test-db",
        "--auth-root-authentication-method=socket",
    ]


def mariadbd_options(directory: Path) -> list[str]:
    """Arguments of mariadbd."""
    return [
        *_mariadb_place(directory),
        f"--socket={mariadb_socket(directory)}",
        f"--pid-file={directory}/mariadbd.pid",
        "--skip-networking",
        "--innodb-buffer-pool-size=64M",
        "--innodb-lock-wait-timeout=900",
        # The data live as long as the test: nothing has to survive a crash of the machine.
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-innodb-doublewrite",
    ]


def _mariadb_place(directory: Path) -> list[str]:
    return [
        "--no-defaults",
        "--user=root",
        f"--datadir={directory}/db",
        # A mariadbd that starts removes all temporary tables in its tmpdir, whosever they are: in
        # /tmp it breaks the others of this machine (10.11: error 1017, or a crash of the other).
        f"--tmpdir={directory}/tmp",
        "--innodb-log-file-size=8M",
    ]
