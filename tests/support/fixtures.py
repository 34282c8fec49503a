"""Types of the fixtures of tests/conftest.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.support import browser
from tests.support.requirements import require
from tests.support.slurm_cluster import PrivateSlurm, why_not

# `scale(usual, full)`: the figure for this run.
Scale = Callable[[int, int], int]
# `private_slurm(kill_wait=2)`: a started cluster; the arguments are those of SlurmOptions.
MakeSlurm = Callable[..., PrivateSlurm]


def require_slurm() -> None:
    """Skip where no private Slurm can be started; in CI that is a failure."""
    require("Slurm", why_not())


def require_browser() -> None:
    """Skip where no browser is; in CI that is a failure."""
    missing = "needs chromium, chromium-driver and poppler-utils"
    require("a browser", "" if browser.is_installed() else missing)


def require_mpi() -> None:
    """Skip where no MPI is; in CI that is a failure."""
    programs = ("mpicc", "mpirun")
    missing = [name for name in programs if shutil.which(name) is None]
    reason = f"needs {' and '.join(missing)}: apt-get install libopenmpi-dev openmpi-bin"
    require("MPI", reason if missing else "")
