"""Processor time of commands that a person waits for, over the start of Python alone.

python benchmarks/commands.py
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import measuring

ROUNDS = 21
# Seconds over `python -I -c pass`.
START_S = 0.15
STATUS_S = 0.45
CALL = "import sys; from hpcsweep.cli import main; sys.exit(main(prog_name='hpcsweep'))"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        python = measuring.installed(Path(temporary) / "venv", dependencies=True)
        sweep = measuring.prepared(Path(temporary) / "project")
        outputs = f"--outputs={sweep.path.parent}"
        commands = {
            "`--version`": (START_S, ["--version"], {}),
            "`--help`": (START_S, ["--help"], {}),
            "`submit --help`": (START_S, ["submit", "--help"], {}),
            "completion of a command": (START_S, [], _asked("hpcsweep st")),
            "completion of an option": (START_S, [], _asked("hpcsweep submit --re")),
            "completion of a sweep": (START_S, [], _asked(f"hpcsweep status {outputs} n")),
            "completion of a column": (
                START_S,
                [],
                _asked(f"hpcsweep collect {outputs} noop --where i"),
            ),
            "completion of a cluster": (START_S, [], _asked("hpcsweep submit --cluster e")),
            "`status` of a small sweep": (STATUS_S, ["status", outputs, "noop"], {}),
        }
        calls = {
            what: lambda argv=[python, "-I", "-c", CALL, *arguments], env=env: _cpu(argv, env)
            for what, (_, arguments, env) in commands.items()
        }
        bare, library, *found = measuring.medians(
            ROUNDS,
            lambda: _cpu([python, "-I", "-c", "pass"], {}),
            lambda: _cpu([python, "-I", "-c", "import sqlalchemy"], {}),
            *calls.values(),
        )
        print(f"{measuring.machine()}; median of {ROUNDS} interleaved rounds")
        rows = [
            (
                what,
                f"{seconds:.3f} s",
                f"{bare:.3f} s",
                f"{seconds - bare:.3f} s",
                f"{seconds / bare:.1f}",
                f"{budget} s",
            )
            for (what, (budget, *_)), seconds in zip(commands.items(), found, strict=True)
        ]
        rows.append(
            (
                "`import sqlalchemy` alone",
                f"{library:.3f} s",
                f"{bare:.3f} s",
                f"{library - bare:.3f} s",
                f"{library / bare:.1f}",
                "",
            )
        )
        columns = ("what", "time", "`python -I -c pass`", "over it", "ratio", "budget over it")
        measuring.show("Processor time of a command", columns, rows)


def _asked(words: str) -> dict[str, str]:
    """The environment by which bash asks for completions of the last of these words."""
    last = str(len(words.split(" ")) - 1)
    return {"_HPCSWEEP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": last}


def _cpu(argv: list[str], env: dict[str, str]) -> float:
    """Seconds of processor time of a command and its children. It must succeed and print."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, env=measuring.environment(**env), stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or ("hpcsweep" in argv[3] and not out.tell()):
            raise RuntimeError(f"{argv}: exit code {process.returncode}, {out.tell()} bytes")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
