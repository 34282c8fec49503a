"""The environment of PBS's programs, and the variables that its jobs get from where one submits.

qsub -V would hand on all of them, as sbatch does; but anybody may read those of a job by `qstat -f`
(23.06), and some hold passwords.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hpcsweep.cluster.jobs import OwnJob
from hpcsweep.redact import redact

_NAMES = frozenset(
    {
        *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
        *("CONDA_DEFAULT_ENV", "CONDA_EXE", "CONDA_PREFIX", "CONDA_SHLVL"),
        *("MAMBA_EXE", "MAMBA_ROOT_PREFIX"),
        *("LOADEDMODULES", "MODULEPATH", "MODULESHOME", "_LMFILES_"),
        *("LANG", "LC_ALL", "TZ", "XDG_CONFIG_HOME"),
        *("PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PBS_CONF_FILE"),
    }
)
_PREFIXES = ("HPCSWEEP_",)
# What qsub -v alters in a value, or refuses (23.06).
_ALTERED = frozenset("\"'\\")
# Variables that select the server.
_WHICH_SERVER = ("PBS_CONF_FILE", "PBS_DEFAULT")


# How often a job was submitted again by itself. It begins as no variable that is handed on, so what
# the job submits does not get it.
RUNS = "PBS_HPCSWEEP_RUNS"


def of_programs() -> dict[str, str]:
    """The environment in which PBS's programs are started: ours."""
    return dict(os.environ)


def pointed_at() -> str:
    """The values of the variables that select the server."""
    return " ".join(os.environ.get(name, "") for name in _WHICH_SERVER)


def own_job() -> OwnJob | None:
    """The job in which this process runs; None outside of jobs. PBS does not count its restarts."""
    job_id, runs = os.environ.get("PBS_JOBID"), os.environ.get(RUNS, "")
    if not job_id:
        return None
    return OwnJob(job_id, os.environ.get("PBS_JOBNAME", ""), int(runs) if runs.isdecimal() else 0)


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a task needs as they are here: where programs and settings are."""
    return {
        name: value
        for name, value in environment.items()
        if (name in _NAMES or name.startswith(_PREFIXES))
        and redact(value) == value
        and _ALTERED.isdisjoint(value)
    }
