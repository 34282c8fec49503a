"""Before anything is sent: the manifest read back and the target imported as a task will do it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep import executable
from hpcsweep.cluster.slurm.script import setup_script
from hpcsweep.errors import HpcsweepError, SweepError, TargetError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.sources import ParameterSource
from hpcsweep.sweepdir.directory import SweepDirectory

# Indices that are compared, spread over the source.
SAMPLES = 12
# Seconds; an import from a cold network file system may take minutes.
TIMEOUT_S = 600.0
# What the script answers when a setup line failed: this, where the line is, its exit code, and the
# place inside a file that it sourced, each ended by NUL.
_SETUP_FAILED = "setup"
# A file that a line sources, where it is written as it is.
_SOURCED = re.compile(r"""\s*(source|\.)\s+["']?(?P<file>[^\s"';&|()`*?]+)""")
# Set in the program that was started behind the setup lines.
_BEHIND_SETUP = "_HPCSWEEP_BEHIND_SETUP"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the fresh interpreter found."""

    # 16 hex digits over the user's code.
    code_digest: str
    # Which files that is, relative to the manifest's directory.
    code_files: list[str]
    # As `provenance.packages` names them.
    packages: list[str]


def preflight(
    sweep: SweepDirectory,
    manifest: FrozenManifest,
    source: ParameterSource,
    environment: Mapping[str, str],
) -> Checked:
    """Check a frozen manifest in a fresh interpreter, behind its setup lines.

    `environment`: what the cluster's programs get on top of ours.

    *Raises* TargetError for the target or a setup line, SweepError when the frozen manifest does
    not give the same cases.
    """
    _refuse_windows_files(manifest)
    last = source.n_cases - 1
    indices = sorted({last * k // (SAMPLES - 1) for k in range(SAMPLES)})
    # Files, not pipes: whatever the user's code prints, closes or leaves running in the
    # background, the answer is what was written for us, and there is no end to wait for.
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as output:
        # The model of a cache is another matter, and brings SQLAlchemy.
        has_model = manifest.cache is not None and manifest.cache.result_cls is not None
        program = "hpcsweep.submission.cache_check" if has_model else "hpcsweep.submission.check"
        check = [sys.executable, "-P", "-m", "hpcsweep.program", program]
        check += [str(answer.fileno()), str(sweep.path), manifest.fingerprint, *map(str, indices)]
        returncode = _run(manifest, check, environment, (answer.fileno(), output.fileno()))
        answer.seek(0)
        output.seek(0)
        told = answer.read().decode(errors="replace")
        printed = output.read().decode(errors="replace").splitlines()
    found = _understood(manifest, told, [line for line in printed if line.strip()], returncode)
    for index in indices:
        case_id = source[index].case_id
        if found["ids"][str(index)] != case_id:
            raise SweepError(
                f"index {index} is case {case_id} here and {found['ids'][str(index)]} read back "
                "from the frozen manifest",
                where=str(sweep.manifest_dir(manifest.fingerprint)),
                next_step="Please report this with the manifest.",
            )
    return Checked(found["code_digest"], found["code_files"], found["packages"])


def _refuse_windows_files(manifest: FrozenManifest) -> None:
    """*Raises* TargetError for a file that a setup line sources: `export A=1` would add a CR."""
    for line in manifest.setup:
        found = _SOURCED.match(line.text)
        if found is None:
            continue
        path = Path(os.path.expandvars(found["file"])).expanduser()
        why = executable.line_ends(manifest.root / path, "bash")
        if why is not None:
            raise TargetError(why[0], where=line.where, next_step=why[1])


def behind_setup(manifest: FrozenManifest) -> None:
    """Start this program again in the environment that the setup lines leave, as a task has it.

    Again: what `module load` says of libraries and modules is read when a process starts.
    Returns in the program that has it. *Raises* TargetError for a line that fails.
    """
    if os.environ.pop(_BEHIND_SETUP, "") or not manifest.setup:
        return
    environment = _setup_environment(manifest) | {_BEHIND_SETUP: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _setup_environment(manifest: FrozenManifest) -> dict[str, str]:
    """The environment that the setup lines leave to the worker. *Raises* TargetError."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as output:
        tell = ["/bin/bash", "-c", f"exec env -0 >&{answer.fileno()}"]
        _run(manifest, tell, {}, (answer.fileno(), output.fileno()))
        answer.seek(0)
        output.seek(0)
        told = os.fsdecode(answer.read())
        printed = output.read().decode(errors="replace").splitlines()
    if told.startswith(f"{_SETUP_FAILED}\0"):
        raise _setup_failed(manifest, told, [line for line in printed if line.strip()])
    pairs = (pair.partition("=") for pair in told.split("\0") if pair)
    return {name: value for name, _, value in pairs}


def _run(
    manifest: FrozenManifest, check: list[str], environment: Mapping[str, str],
    files: tuple[int, int],
) -> int:  # fmt: skip
    """Run the setup lines and the check to their end, and end whatever they leave behind."""
    answer, output = files
    with tempfile.TemporaryFile() as script:
        script.write(_script(manifest, check, answer).encode())
        script.seek(0)
        process = subprocess.Popen(
            # A file, as the batch script is: `bash -c` tells less of a line that exits.
            ["/bin/bash", f"/dev/fd/{script.fileno()}"],
            cwd=manifest.root,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[answer, script.fileno()],
            process_group=0,
        )
    try:
        return process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        what = "the setup lines and the import" if manifest.setup else "the import"
        raise TargetError(
            f"{what} of the target did not end within {TIMEOUT_S:g} s",
            where=manifest.target.text,
            next_step="Every task would hang in the same way: try it by hand.",
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _script(manifest: FrozenManifest, check: list[str], answer: int) -> str:
    """The setup lines as the batch script runs them, then the check in the worker's place."""
    told = '"$hpcsweep_line" "$hpcsweep_exit" "$hpcsweep_place"'
    failed = f"printf '{_SETUP_FAILED}\\0%s\\0%s\\0%s' {told} >&{answer}; builtin exit 1"
    setup = setup_script(manifest.setup, failed) if manifest.setup else ""
    return f"{setup}exec {shlex.join(check)}\n"


def _understood(
    manifest: FrozenManifest, told: str, printed: list[str], returncode: int
) -> dict[str, Any]:
    """What the check found. *Raises* what it, or a setup line, complained about."""
    if told.startswith(f"{_SETUP_FAILED}\0"):
        raise _setup_failed(manifest, told, printed)
    try:
        found: dict[str, Any] = json.loads(told)
    except ValueError as error:
        how = f"exit code {returncode}"
        if returncode < 0:
            how = signal.Signals(-returncode).name
        said = f": {printed[-1]}" if printed else ""
        raise TargetError(
            f"the check of the target ended with {how} before it could answer{said}",
            where=manifest.target.text,
            next_step="Importing the target, or a line of `setup:`, ends the process: every task "
            "would end in the same way.",
        ) from error
    if "problem" in found:
        what, where, next_step = found["problem"]
        kind = SweepError if returncode == SweepError.exit_code else TargetError
        raise kind(what, where=where, next_step=next_step)
    return found


def _setup_failed(manifest: FrozenManifest, told: str, printed: list[str]) -> HpcsweepError:
    _, where, code, place = told.split("\0")
    text = next((line.text for line in manifest.setup if line.where == where), "")
    inside = f" at {place}" if place else ""
    said = f": {printed[-1]}" if printed else ""
    return TargetError(
        f"the setup line `{text}` ended with exit code {code}{inside}{said}",
        where=where,
        next_step="It would fail in every task: put it right, or take it out of `setup:`.",
    )
