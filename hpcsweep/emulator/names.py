"""Names: files in a state directory, programs, job states.

A separate module, so that programs start fast.
"""

from __future__ import annotations

CONFIG = "config.json"
SOCKET = "socket"
PID = "scheduler.pid"
# Locked (flock) by the directory's only scheduler while it lives.
LOCK = "scheduler.lock"
# Locked (flock) by a program that is starting a scheduler; others wait for it.
START_LOCK = "start.lock"
LOG = "scheduler.log"
EVENTS = "events.jsonl"
# Holds `<base job id>/script` and `<base job id>/environment`.
SUBMISSIONS = "submissions"
SPOOL = "spool"
BIN = "bin"
# SLURM_CONF of every emulated job names this file; with SLURM_JOB_ID it identifies their processes.
SLURM_CONF = "slurm.conf"

# Replaces the shell function of environment modules; it prints the name of the module.
MODULE = "module"
# The programs that are emulated, and those that only refuse: the real ones must not be reached from
# a shell that has the emulated cluster first on its PATH.
PROGRAMS = (
    *("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "srun", "sacctmgr"),
    *("salloc", "sstat", "sprio", "sshare", "sreport", "sdiag"),
)
REFUSED = ("sattach", "sbcast", "strigger")

# Every state that Slurm 26.05 knows, with squeue's short form; the emulator itself uses
# PENDING, RUNNING, COMPLETING and the final ones up to TIMEOUT.
SHORT_STATES = {
    "PENDING": "PD",
    "RUNNING": "R",
    "COMPLETING": "CG",
    "COMPLETED": "CD",
    "FAILED": "F",
    "CANCELLED": "CA",
    "NODE_FAIL": "NF",
    "REQUEUED": "RQ",
    "TIMEOUT": "TO",
    "SUSPENDED": "S",
    "PREEMPTED": "PR",
    "BOOT_FAIL": "BF",
    "DEADLINE": "DL",
    "OUT_OF_MEMORY": "OOM",
    "CONFIGURING": "CF",
    "EXPEDITING": "PD",
    "RESIZING": "RS",
    "RESV_DEL_HOLD": "RD",
    "REQUEUE_FED": "RF",
    "REQUEUE_HOLD": "RH",
    "REVOKED": "RV",
    "SIGNALING": "SI",
    "SPECIAL_EXIT": "SE",
    "STAGE_OUT": "SO",
    "STOPPED": "ST",
}
# The other way; of names with one short form the first.
LONG_STATES = {short: name for name, short in reversed(SHORT_STATES.items())}
# The final states.
FINAL_STATES = frozenset(SHORT_STATES) - {
    *("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "RESIZING"),
    *("REQUEUED", "SIGNALING", "STAGE_OUT", "STOPPED", "EXPEDITING"),
}
