"""The directory of a project on another host, and the hpcsweep that is used there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from hpcsweep import __version__
from hpcsweep.errors import ClusterError
from hpcsweep.far.host import FarHost
from hpcsweep.far.ssh import Connection

# Environments of our own, one for each version: tasks of an earlier one go on.
OWN = ".hpcsweep"
ENVIRONMENT = f"{OWN}/venv-{__version__}"
# What a login of bash reads, where sites put Slurm and modules on PATH. Its output is no answer.
LOGIN = """\
{
    [ -r /etc/profile ] && . /etc/profile
    for file in ~/.bash_profile ~/.bash_login ~/.profile; do
        [ -r "$file" ] && { . "$file"; break; }
    done
} >/dev/null 2>&1 </dev/null
"""
_LOOK = """\
command -v rsync >/dev/null && echo rsync=yes
{login}
(umask 077; mkdir -p -- {root}) && cd -- {root} && echo "root=$(pwd -P)" || exit 1
{program}
command -v "$hpcsweep" >/dev/null && echo "version=$("${{hpcsweep[@]}}" --version)"
exit 0
"""
# In the directory of the project. pip's scripts break in directories with some characters; -P keeps
# modules of the working directory from hiding ours.
PROGRAM = f"""\
hpcsweep=("$PWD/{ENVIRONMENT}/bin/python" -P -m hpcsweep)
[ -x "$hpcsweep" ] || hpcsweep=(hpcsweep)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FarDirectory:
    """What was found on another host."""

    host: str
    # An absolute path.
    root: str
    has_rsync: bool
    # What a login's shell prints at each command; rsync needs one that prints nothing.
    chatter: str
    # None where there is no hpcsweep that starts.
    version: str | None

    def require_rsync(self) -> None:
        """*Raises* ClusterError if no file can go there or back."""
        if self.chatter:
            raise ClusterError(
                f"its shell prints {self.chatter.splitlines()[0]!r} at each command, and rsync "
                "needs one that prints nothing",
                where=self.host,
                next_step="Let the start-up file there print for people alone. Above that line: "
                "in ~/.bashrc `[[ $- == *i* ]] || return`, in ~/.cshrc `if (! $?prompt) exit`, in "
                "fish `status is-interactive; or exit`. `ssh HOST true` must print nothing.",
            )
        if not self.has_rsync:
            raise ClusterError(
                "has no rsync on the PATH of its logins",
                where=self.host,
                next_step="Files go there and back by it: load or install it there.",
            )

    def require_hpcsweep(self) -> None:
        """*Raises* ClusterError if it is not there, or of another version than here."""
        on = shlex.quote(f"{self.host}:{self.root}")
        install = f"`hpcsweep --on {on} install` installs {__version__} there."
        if self.version is None:
            raise ClusterError("has no hpcsweep", where=self.host, next_step=install)
        if self.version != __version__:
            raise ClusterError(
                f"has hpcsweep {self.version}, and here is {__version__}",
                where=self.host,
                next_step=install,
            )


def far_directory(connection: Connection, host: FarHost) -> FarDirectory:
    """Make the directory of a project, and look what is there.

    *Raises* ClusterError, ClusterUnavailable.
    """
    script = _LOOK.format(login=LOGIN, root=shlex.quote(host.root), program=PROGRAM)
    done = connection.run(script)
    facts = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if done.returncode or "root" not in facts:
        said = done.stderr.strip() or f"bash ended with {done.returncode}"
        raise ClusterError(
            f"cannot be used: {said}",
            where=f"{host.name}:{host.root}",
            next_step="Name another directory, HOST:DIR. A login there must find bash, and the "
            "profile of bash must not end it.",
        )
    version = facts.get("version", "").removeprefix("hpcsweep ")
    return FarDirectory(
        host=host.name,
        root=facts["root"],
        has_rsync="rsync" in facts,
        chatter=connection.chatter,
        version=version or None,
    )
