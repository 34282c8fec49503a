"""The variables that jobs of PBS get from where one submits.

qsub -V would hand on all of them, as sbatch does; but anybody may read those of a job by `qstat -f`
(23.06), and some hold passwords.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a task needs as they are here: where programs and settings are."""
    return {
        name: value
        for name, value in environment.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and redact(value) == value
    }
