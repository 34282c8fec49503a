"""Run a command of ours on another host: send what it reads, run it there, fetch what it wrote."""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpcsweep.errors import ClusterUnavailable, InputError
from hpcsweep.far.directory import LOGIN, PROGRAM, FarDirectory, far_directory
from hpcsweep.far.host import FarHost
from hpcsweep.far.project_files import files_to_send
from hpcsweep.far.rsync import rsync
from hpcsweep.far.ssh import NO_CONNECTION, Connection

# Commands that read the project. The others know a sweep by its directory, and a sent file could be
# one that its tasks execute.
SENDING = ("doctor", "plan", "run", "submit", "validate")
_RUN = """\
{login}
cd -- {root} || exit 1
{program}
mkdir -p -- {directories} && cd -- {directory} || exit 1
# No exec: of a program that a signal ends ssh says 255, as of a lost connection.
{environment}"${{hpcsweep[@]}}" {arguments} </dev/null
exit
"""


class InterruptedThere(KeyboardInterrupt):
    """Ctrl-C while the command runs there, which no signal reaches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FarCommand:
    """A command and its arguments, as they are typed here."""

    name: str
    arguments: tuple[str, ...]
    # The project here, and the working directory, which is below it.
    project: Path
    directory: Path
    # Files that it writes, relative to the working directory.
    outputs: tuple[Path, ...] = ()
    # Variables that it has there besides those of a login.
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """*Raises* InputError for an output outside of the project."""
        for path in self.outputs:
            if posixpath.isabs(path) or self._in_project(path).startswith("../"):
                raise InputError(
                    "is outside of the project",
                    where=f"--output {path}",
                    next_step=f"Name a file below {self.project}: it is fetched to the same place.",
                )

    def output_names(self) -> list[str]:
        """The outputs, relative to the project."""
        return [self._in_project(path) for path in self.outputs]

    def working_directory(self) -> str:
        """The working directory, relative to the project."""
        return self._in_project(Path())

    def _in_project(self, path: Path) -> str:
        return os.path.relpath(self.directory / path, self.project)


def run_there(host: FarHost, command: FarCommand, write: Callable[[bytes], None]) -> int:
    """Run a command on another host. Returns its exit code.

    `write` gets its standard output as it comes; its standard error is ours.
    *Raises* ClusterError, ClusterUnavailable, SweepError, InputError, InterruptedThere.
    *Writes* the files of the project there, and the command's outputs here.
    """
    with Connection(host.name) as connection:
        there = far_directory(connection, host)
        there.require_hpcsweep()
        if command.outputs or command.name in SENDING:
            there.require_rsync()  # before anything is begun
        if command.name in SENDING:
            _send(connection, there, command)
        code = _run(connection, there, command, write)
        if code == 0:
            for name in command.output_names():
                _fetch(connection, there, command, name)
    return code


def _send(connection: Connection, there: FarDirectory, command: FarCommand) -> None:
    files = files_to_send(command.project, command.directory, command.arguments)
    listed = b"".join(os.fsencode(name) + b"\0" for name in files)
    rsync(
        *("--archive", "--copy-unsafe-links", "--files-from=-", "--from0"),
        *("-e", shlex.join(connection.command()), "--"),
        *(f"{command.project}/", f"{there.host}:{there.root}/"),
        files=listed,
        next_step="Nothing was begun there. Check the directory, its disk and its quota; "
        "the same command goes on where it stopped.",
    )


def _run(
    connection: Connection,
    there: FarDirectory,
    command: FarCommand,
    write: Callable[[bytes], None],
) -> int:
    directory = command.working_directory()
    parents = {directory, *(posixpath.dirname(name) or "." for name in command.output_names())}
    script = _RUN.format(
        login=LOGIN,
        root=shlex.quote(there.root),
        program=PROGRAM,
        directory=shlex.quote(directory),
        directories=shlex.join(sorted(parents)),
        environment="".join(
            f"{name}={shlex.quote(value)} " for name, value in command.environment.items()
        ),
        arguments=shlex.join([command.name, *command.arguments]),
    )
    try:
        code = connection.stream(script, write)
    except KeyboardInterrupt as error:  # it ended ssh alone
        raise InterruptedThere from error
    if code == NO_CONNECTION:
        raise ClusterUnavailable(
            f"the connection broke while `{command.name}` ran",
            where=there.host,
            next_step="It may go on there. `status` says what was submitted, and the same command "
            "again does the rest; nothing is submitted twice.",
        )
    return code


def _fetch(connection: Connection, there: FarDirectory, command: FarCommand, name: str) -> None:
    here = command.project / name
    here.parent.mkdir(parents=True, exist_ok=True)
    rsync(
        *("--times", "-e", shlex.join(connection.command()), "--"),
        *(f"{there.host}:{posixpath.join(there.root, name)}", str(here)),
        next_step="It is there; the same command fetches it again.",
    )
