"""A cluster behind wrapper programs, which record each call and can inject failures."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.clusters import Cluster

PROGRAMS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")
# What Slurm 22.05 says and how it ends when its controller cannot be reached.
UNREACHABLE = "Unable to contact slurm controller (connect failure)"


@dataclass(frozen=True)
class Call:
    """One call of one program."""

    # Seconds of the epoch at which it began.
    time: float
    program: str
    # Its arguments, a blank between them.
    arguments: str


class Fronted(Cluster):
    """A Slurm whose programs are first on PATH and call those of `inner`."""

    kind = "slurm"

    def __init__(self, inner: Cluster, directory: Path) -> None:
        self.inner = inner
        self._bin = directory / "front"
        self._log = directory / "calls"
        self._down = directory / "down"
        self._bin.mkdir(parents=True)
        for program in PROGRAMS:
            self.before(program, "")

    def env(self, **more: str) -> dict[str, str]:
        """The environment of `inner`, with the wrappers first on PATH."""
        variables = self.inner.env(**more)
        path = f"{self._bin}{os.pathsep}{variables['PATH']}"
        return variables | {"PATH": path, "HPCSWEEP_CLUSTER": self.kind}

    def before(self, program: str, shell: str) -> None:
        """Let a program run these lines of shell first; `"$real" "$@"` is the call itself."""
        real = shutil.which(program, path=self.inner.env()["PATH"])
        text = (
            "#!/bin/bash\n"
            f"real={shlex.quote(str(real))}\n"
            f'echo "$EPOCHREALTIME {program} $*" >>{shlex.quote(str(self._log))}\n'
            f"if [ -e {shlex.quote(str(self._down))} ]; then\n"
            f'  echo "{program}: error: {UNREACHABLE}" >&2; exit 1\n'
            "fi\n"
            f'{shell}\nexec "$real" "$@"\n'
        )
        path = self._bin / program
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").chmod(0o755)
        path.with_suffix(".new").replace(path)  # a shell reads its script while it runs it

    def calls(self, *programs: str) -> list[Call]:
        """All calls of these programs so far, in order."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        split = [line.split(" ", 2) for line in lines]
        calls = [Call(float(time), program, words) for time, program, words in split]
        return [call for call in calls if call.program in programs]

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a program of `inner`, without the wrapper."""
        return self.inner.run(*argv, check=check)

    def jobs(self) -> Iterator[tuple[str, str]]:
        """Past the front."""
        return self.inner.jobs()

    def states(self, job: str) -> dict[int, str]:
        """Past the front."""
        return self.inner.states(job)

    def kill_controller(self) -> None:
        """Let no program reach the controller; running jobs go on."""
        self._down.touch()

    def revive_controller(self) -> None:
        """Let programs reach the controller again."""
        self._down.unlink(missing_ok=True)
