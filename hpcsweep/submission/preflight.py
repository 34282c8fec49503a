"""Before a submission: read the manifest back and import the target, as a task will."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpcsweep.errors import SweepError, TargetError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.program import signal_name
from hpcsweep.sources import ParameterSource
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.worker.launcher import CompletedProgram, Launcher

# Indices whose case ids are compared, spread over the source.
SAMPLES = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of the check in a fresh interpreter."""

    # 16 hex digits over the user's code.
    code_digest: str
    # The files of the digest, relative to the manifest's directory.
    code_files: list[str]
    # As in `provenance.packages`.
    packages: list[str]
    # Name of the copy of the code in `code/`, see `snapshot`; None if none is kept.
    snapshot: str | None = None
    # As in `provenance.this_python`; None for this process.
    python: dict[str, str] | None = None


def preflight(
    sweep: SweepDirectory,
    manifest: FrozenManifest,
    source: ParameterSource,
    environment: Mapping[str, str],
) -> Checked:
    """Check a frozen manifest in a fresh interpreter, after its setup lines.

    `environment`: variables of the cluster's programs, added to ours.

    *Raises* TargetError for the target or a setup line, SweepError when the frozen manifest does
    not give the same cases.
    """
    launcher = Launcher.of(manifest, sweep.path)
    launcher.refuse_windows_files()
    last = source.n_cases - 1
    indices = sorted({last * k // (SAMPLES - 1) for k in range(SAMPLES)})
    arguments = (str(sweep.path), manifest.fingerprint, *map(str, indices))
    reply = _check(manifest, launcher, "hpcsweep.submission.check", arguments, environment)
    if manifest.cache is not None and manifest.cache.result_cls is not None:
        # Only this program imports SQLAlchemy.
        own = replace(launcher, interpreter=replace(launcher.interpreter, named=None))
        _check(manifest, own, "hpcsweep.submission.cache_check", arguments, environment)
    for index in indices:
        case_id = source[index].case_id
        if reply["ids"][str(index)] != case_id:
            raise SweepError(
                f"index {index} is case {case_id} here and {reply['ids'][str(index)]} read back "
                "from the frozen manifest",
                where=str(sweep.manifest_dir(manifest.fingerprint)),
                next_step="Please report this with the manifest.",
            )
    return Checked(
        reply["code_digest"], reply["code_files"], reply["packages"], python=reply["python"]
    )


def _check(
    manifest: FrozenManifest,
    launcher: Launcher,
    program: str,
    arguments: Iterable[str],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """The answer of a program that checks the target. *Raises* TargetError, SweepError."""
    try:
        completed = launcher.run(launcher.interpreter.program(program, *arguments), environment)
    except TimeoutError as error:
        what = "the setup lines and the import" if manifest.setup else "the import"
        raise TargetError(
            f"{what} of the target {error}",
            where=manifest.target.text,
            next_step="Every task would hang in the same way: try it by hand.",
        ) from error
    return _parse(manifest, completed)


def _parse(manifest: FrozenManifest, completed: CompletedProgram) -> dict[str, Any]:
    """The answer of the check. *Raises* the problem in it."""
    try:
        reply: dict[str, Any] = json.loads(completed.answer)
    except ValueError as error:
        how = f"exit code {completed.returncode}"
        if completed.returncode < 0:
            how = signal_name(-completed.returncode)
        last = f": {completed.printed[-1]}" if completed.printed else ""
        raise TargetError(
            f"the check of the target ended with {how} before it could answer{last}",
            where=manifest.target.text,
            next_step="Importing the target, or a line of `setup:`, ends the process: every task "
            "would end in the same way.",
        ) from error
    if "problem" in reply:
        what, where, next_step = reply["problem"]
        if completed.returncode == SweepError.exit_code:
            raise SweepError(what, where=where, next_step=next_step)
        problem = TargetError(what, where=where, next_step=next_step)
        problem.lacks_module = reply["lacks_module"]
        raise problem
    return reply
