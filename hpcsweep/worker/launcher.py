"""Start a process of a sweep: the setup lines in bash, then the interpreter.

The batch script, the check before a submission and `hpcsweep run` all use it, and submitit runs
the batch script: what is checked is what runs. No task loads this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hpcsweep import executable
from hpcsweep.allocation import asks_for_gpus
from hpcsweep.errors import InputError, TargetError
from hpcsweep.manifest.frozen import FrozenManifest, SetupLine
from hpcsweep.older_python import dataclass
from hpcsweep.records import EXIT_STOPPED
from hpcsweep.worker.interpreter import Interpreter, Step, setup_steps

if TYPE_CHECKING:
    import jinja2

# Seconds for the setup lines and the program behind them; an import from a cold network file system
# may take minutes.
TIMEOUT_S = 600.0
# The script's answer if a setup line failed: this word, the line's place in the manifest, its exit
# code, and the place inside a file that it sourced; separated by NUL.
_SETUP_FAILED = b"setup"
# A line that sources a file by a literal name.
_SOURCED = re.compile(r"""\s*(source|\.)\s+["']?(?P<file>[^\s"';&|()`*?]+)""")
# The functions that a step may call, by the macros of `environment.sh.j2`.
HELPERS = ("module", "conda", "container", "python")
# What a shell exports of the environment that it has activated: its prefix, for conda a depth.
_PREFIXES, _DEPTH = ("VIRTUAL_ENV", "CONDA_PREFIX"), "CONDA_SHLVL"
# The oldest Python that runs tasks: the standard library of their modules.
OLDEST_PYTHON = (3, 9)


@dataclass(frozen=True, slots=True)
class CompletedProgram:
    """The result of a program that has ended."""

    returncode: int
    # Its standard output.
    answer: bytes
    # The non-empty lines of its standard error, and of all output of the steps.
    printed: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """Starts programs in the same way as the tasks of a sweep."""

    setup: tuple[SetupLine, ...]
    interpreter: Interpreter
    # Absolute path of the directory in which the setup lines run.
    root: Path

    @classmethod
    def of(cls, manifest: FrozenManifest, sweep: Path) -> Launcher:
        """The launcher of a sweep's tasks, which need its directory.

        *Raises* InputError for a directory that a container cannot have.
        """
        root, named, sweep = Path(manifest.root), manifest.interpreter, sweep.resolve()
        if named is not None and named.container and {",", ":"} & {*str(sweep)}:
            raise InputError(
                f"{sweep} has a comma or a colon, at which apptainer splits it",
                where=named.where,
                next_step="Choose another --outputs directory.",
            )
        interpreter = Interpreter(
            own=sys.executable,
            named=named,
            binds=(root, sweep),
            has_gpus=asks_for_gpus(manifest.resources.options),
        )
        return cls(setup=manifest.setup, interpreter=interpreter, root=root)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What happens before a program starts, in this order."""
        return (*setup_steps(self.setup), *self.interpreter.steps())

    def setup_script(self, on_failure: str) -> str:
        """The steps as bash text, with the trap that identifies a failed one; "" for none.

        The trap runs `on_failure` with $hpcsweep_line, $hpcsweep_exit and $hpcsweep_place; see
        `setup.sh.j2`.
        """
        if not self.steps:
            return ""
        templates = template_environment()
        helpers: Any = templates.get_template("environment.sh.j2").module
        called = "".join(step.text + " " for step in self.steps)
        text = "".join(
            getattr(helpers, name)() for name in HELPERS if f"hpcsweep_{name} " in called
        )
        guarded: Any = templates.get_template("setup.sh.j2").module
        return str(guarded.guarded(self.steps, text, on_failure))

    def run(self, command: str, environment: Mapping[str, str]) -> CompletedProgram:
        """Run a command of bash behind the steps to its end; kill the processes that they leave.

        Its standard output is its answer. `environment` extends ours. *Raises* TargetError if a
        step fails; TimeoutError, whose text names the time.
        """
        # Files, not pipes: user code may print, close descriptors or leave background processes,
        # and none of it can mix with the answer or delay the end of file.
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as output:
            script = self._script(command, answer.fileno())
            returncode = self._run(script, environment, (answer.fileno(), output.fileno()))
            answer.seek(0)
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
            printed = [line for line in lines if line.strip()]
            completed = CompletedProgram(returncode, answer.read(), printed)
        if completed.answer.startswith(_SETUP_FAILED + b"\0"):
            raise self._setup_failed(completed)
        return completed

    def replace_process(self, name: str, *arguments: str) -> NoReturn:
        """Become a program of hpcsweep in the interpreter and the environment of a task.

        The dynamic linker and Python read what `module load` sets when a process starts.
        *Raises* TargetError if a step fails.
        """
        argv, environment = self._program(name, *arguments)
        sys.stdout.flush()
        os.execve(argv[0], argv, environment)

    def call(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Like `replace_process`, in a child; returns what it printed. *Raises* TargetError."""
        argv, environment = self._program(name, *arguments)
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def _program(self, name: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The words and the environment that start a program of hpcsweep."""
        command = f"exec {self.interpreter.program(name, *arguments)}"
        return ["/bin/bash", "-c", command], self.setup_environment({})

    def refuse_windows_files(self) -> None:
        """*Raises* TargetError for a sourced file with CRLF: `export A=1` would add a CR to A."""
        for line in self.steps:
            sourced = _SOURCED.match(line.text)
            if sourced is None:
                continue
            path = Path(os.path.expandvars(sourced["file"])).expanduser()
            problem = executable.line_ends(self.root / path, "bash")
            if problem is not None:
                raise TargetError(problem[0], where=line.where, next_step=problem[1])

    def setup_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment that the steps leave to the worker. *Raises* TargetError.

        `environment` extends ours.
        """
        try:
            completed = self.run("env -0", environment)
        except TimeoutError as error:
            raise TargetError(
                f"the setup lines {error}",
                where=self.steps[0].where,
                next_step="Every task would hang in the same way: try them by hand.",
            ) from error
        pairs = (pair.partition("=") for pair in os.fsdecode(completed.answer).split("\0") if pair)
        return {name: value for name, _, value in pairs}

    def python_of_setup(self, environment: Mapping[str, str]) -> str | None:
        """The interpreter that the setup lines put first on PATH; None if they do not.

        `environment` extends ours.
        """
        before = _nothing_activated({**os.environ, **environment})
        with contextlib.suppress(TargetError):  # a line that needs what the shell has
            after = self.setup_environment(before)
            for name in ("python", "python3"):
                python = shutil.which(name, path=after.get("PATH", ""))
                if python is not None and python != shutil.which(name, path=before["PATH"]):
                    return str(self.root / python)
        return None

    def _script(self, command: str, answer: int) -> str:
        """The steps like in the batch script, then the command instead of the worker."""
        facts = '"$hpcsweep_line" "$hpcsweep_exit" "$hpcsweep_place"'
        report = f"printf '{_SETUP_FAILED.decode()}\\0%s\\0%s\\0%s' {facts} >&{answer}"
        return f"{self.setup_script(f'{report}; builtin exit 1')}exec {command} >&{answer}\n"

    def _run(self, script: str, environment: Mapping[str, str], files: tuple[int, int]) -> int:
        answer, output = files
        with tempfile.TemporaryFile() as text:
            text.write(script.encode())
            text.seek(0)
            process = subprocess.Popen(
                # A file, like the batch script: `bash -c` gives less detail on a line that exits.
                ["/bin/bash", f"/dev/fd/{text.fileno()}"],
                cwd=self.root,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[answer, text.fileno()],
                process_group=0,
            )
        try:
            return process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"did not end within {TIMEOUT_S:g} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _setup_failed(self, completed: CompletedProgram) -> TargetError:
        _, where, code, place = completed.answer.decode(errors="replace").split("\0")
        shown = next((step.shown for step in self.steps if step.where == where), "")
        line = "the setup line " if any(line.text == shown for line in self.setup) else ""
        inside = f" at {place}" if place else ""
        last = f": {completed.printed[-1].removeprefix('hpcsweep: ')}" if completed.printed else ""
        in_jobs_only = (
            ' One for jobs alone begins with `[ -z "${SLURM_JOB_ID:-}" ] ||`.' if line else ""
        )
        fix = "fix it, or remove it from `setup:`." if line else "fix it, or name another one."
        return TargetError(
            f"{line}`{shown}` ended with exit code {code}{inside}{last}",
            where=where,
            next_step=f"It would fail in every task: {fix}{in_jobs_only}",
        )


def _nothing_activated(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a shell that has activated none: a setup line may activate the same."""
    prefixes = [environment[name] for name in _PREFIXES if environment.get(name)]
    activated = {str(Path(prefix) / "bin") for prefix in prefixes}
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(entry for entry in entries if entry not in activated)
    return {**environment, **dict.fromkeys((*_PREFIXES, _DEPTH), ""), "PATH": path}


# --- templates -----------------------------------------------------------------------------------


def template_directory() -> Path:
    """The directory of the templates: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "slurm_templates"
    return installed if installed.is_dir() else package.parent / "slurm_templates"


def template_environment() -> jinja2.Environment:
    """The Jinja2 environment of the templates, with filters for shell text."""
    import jinja2  # noqa: PLC0415  # 12 ms, which whoever reads results need not wait for

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_directory()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # shell text, quoted by the filter below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"exit_stopped": EXIT_STOPPED, "oldest_python": OLDEST_PYTHON}
    environment.filters |= {"shell": shlex.quote, "hides": hides, "evals": evals}
    return environment


def hides(line: str) -> bool:
    """Whether a line hides the failure of its only substitution: `export X=$(…)`, `eval $(…)`."""
    declares = re.match(r"\s*((export|declare|typeset|readonly)\s[^#$`]*=|eval\s)", line)
    has_fallback = re.search(r'[)`]"?\s*\|\|', line)
    return bool(declares) and not has_fallback and _substitutions(line) == 1


def evals(line: str) -> bool:
    """Whether a line only evaluates the output of a substitution."""
    return bool(re.fullmatch(r'\s*eval\s+"?(\$\(.*\)|`.*`)"?\s*', line))


def _substitutions(line: str) -> int:
    """Count of command substitutions, without nested ones."""
    depth, count = 0, line.count("`") // 2
    for piece in re.findall(r"\$\(|[()]", line):
        count += piece == "$(" and not depth
        depth += -1 if piece == ")" else 1
    return count
