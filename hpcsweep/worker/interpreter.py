"""How a program of hpcsweep is started: by its own interpreter, another one, or in a container."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hpcsweep.manifest.frozen import SetupLine, TaskInterpreter
from hpcsweep.older_python import dataclass

# The program that makes our package importable in another interpreter.
BOOTSTRAP = Path(__file__).resolve().parents[1] / "bootstrap.py"


class Step(NamedTuple):
    """One step of a task's start, which can fail."""

    # The key of the manifest: "manifest.yaml:12".
    where: str
    # What the user wrote there.
    shown: str
    # The commands in bash; functions of `environment.sh.j2` may be called.
    text: str


def setup_steps(lines: Iterable[SetupLine]) -> Iterator[Step]:
    """The steps of the keys `modules`, `conda` and `setup`."""
    for line in lines:
        if line.kind == "module":
            yield Step(line.where, f"module load {line.text}", _call("hpcsweep_module", line.text))
        elif line.kind == "conda":
            yield Step(
                line.where, f"conda activate {line.text}", _call("hpcsweep_conda", line.text)
            )
        else:
            yield Step(line.where, line.text, line.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """The interpreter of a sweep's tasks."""

    # Absolute path of the interpreter that has hpcsweep.
    own: str
    # The one that the manifest names; None for our own.
    named: TaskInterpreter | None = None
    # Directories that a container has at the same paths; the first is the working directory.
    binds: tuple[Path, ...] = ()
    # Whether a container needs the GPUs of its node.
    has_gpus: bool = False

    def module(self, name: str, *arguments: str) -> list[str]:
        """The argv that runs a module of hpcsweep in its own interpreter.

        With -P, a user's file like signal.py in the working directory does not shadow a module of
        the standard library.
        """
        return [self.own, "-P", "-m", name, *arguments]

    def program(self, name: str, *arguments: str) -> str:
        """The command in bash that calls `main` of a module of hpcsweep."""
        if self.named is None:
            return shlex.join(self.module("hpcsweep.program", name, *arguments))
        return f"{self._python()} {shlex.join([str(BOOTSTRAP), name, *arguments])}"

    def worker(self, *arguments: str) -> str:
        """The command in bash that starts the worker."""
        if self.named is None:
            return shlex.join(self.module("hpcsweep.worker", *arguments))
        return self.program("hpcsweep.worker.__main__", *arguments)

    def steps(self) -> Iterator[Step]:
        """The checks that the interpreter can be started, behind all other steps."""
        named = self.named
        if named is None:
            return
        if named.container is not None:
            shown = f"container: {named.container}"
            yield Step(named.where, shown, _call("hpcsweep_container", named.container))
        else:
            shown = f"python: {named.python}"
        yield Step(named.where, shown, f"hpcsweep_python {self._python()}")
        if named.container is None and "/" in named.python and _is_environment(Path(named.python)):
            directory = shlex.quote(str(Path(named.python).parent))
            yield Step(named.where, shown, f"export PATH={directory}:$PATH")

    def _python(self) -> str:
        """The interpreter as words of bash."""
        named = self.named
        if named is None or named.container is None:
            return shlex.quote(self.own if named is None else named.python)
        binds = [*self.binds, BOOTSTRAP.parent]
        options = [word for path in binds for word in ("--bind", str(path))]
        options += ["--pwd", str(self.binds[0]), *(["--nv"] if self.has_gpus else [])]
        return (
            f'"$hpcsweep_apptainer" exec {shlex.join(options)} --bind "${{TMPDIR:-/tmp}}" '
            f"{shlex.join([*named.container_args, named.container, named.python])}"
        )


def _is_environment(python: Path) -> bool:
    """Whether an interpreter belongs to a virtual or conda environment, which has programs."""
    prefix = python.parent.parent
    return (prefix / "pyvenv.cfg").exists() or (prefix / "conda-meta").is_dir()


def _call(function: str, argument: str) -> str:
    return f"{function} {shlex.quote(argument)}"
