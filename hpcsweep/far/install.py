"""Install hpcsweep on another host: a virtual environment below the project's directory there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from hpcsweep import __version__
from hpcsweep.errors import ClusterError
from hpcsweep.far.directory import ENVIRONMENT, LOGIN, OWN, FarDirectory, far_directory
from hpcsweep.far.host import FarHost
from hpcsweep.far.rsync import rsync
from hpcsweep.far.ssh import Connection

# The oldest Python that hpcsweep runs on, outside of tasks.
PYTHON = (3, 11)
_INSTALL = """\
{login}
cd -- {root} || exit 1
for python in python3 python3.14 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(sys.version_info < {oldest})' 2>/dev/null && break
    python=
done
[ -n "$python" ] || {{ echo "there is no Python {version} or newer" >&2; exit 1; }}
"$python" -m venv {environment} >&2 || exit 1
exec {environment}/bin/python -m pip install --quiet --disable-pip-version-check \\
    -- {requirement} >&2 </dev/null
"""


def install_there(host: FarHost, wheel: Path | None, extras: Sequence[str] = ()) -> FarDirectory:
    """Install this version, from the package index of that host or from a wheel here.

    *Raises* ClusterError, ClusterUnavailable, SweepError. *Safe to repeat.*
    """
    with Connection(host.name) as connection:
        there = far_directory(connection, host)
        more = f"[{','.join(extras)}]" if extras else ""
        requirement = f"hpcsweep{more}=={__version__}"
        if wheel is not None:
            requirement = f"./{OWN}/{wheel.name}{more}"
            _send_wheel(connection, there, wheel)
        script = _INSTALL.format(
            login=LOGIN,
            root=shlex.quote(there.root),
            oldest=PYTHON,
            version=".".join(map(str, PYTHON)),
            environment=ENVIRONMENT,
            requirement=shlex.quote(requirement),
        )
        done = connection.run(script)
        if done.returncode:
            raise ClusterError(
                f"cannot install {requirement}: {done.stderr.strip()}",
                where=f"{there.host}:{there.root}",
                next_step="The same command begins again. `module load` of a newer Python belongs "
                "into ~/.bash_profile there; `--wheel FILE` needs no package index for hpcsweep.",
            )
        there = far_directory(connection, host)
        there.require_hpcsweep()
    return there


def _send_wheel(connection: Connection, there: FarDirectory, wheel: Path) -> None:
    there.require_rsync()
    connection.run(f"mkdir -p -- {shlex.quote(f'{there.root}/{OWN}')}")
    rsync(
        *("--times", "-e", shlex.join(connection.command()), "--"),
        *(str(wheel.absolute()), f"{there.host}:{there.root}/{OWN}/"),
    )
