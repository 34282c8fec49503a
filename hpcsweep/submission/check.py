"""A program, `check SWEEP FINGERPRINT INDEX…`: find what would fail in every task.

`submit` runs it in a fresh interpreter, after the setup lines, before anything is sent. It writes
one JSON object to its standard output: case ids by index, the digest of the code, interpreter and
packages, or the problem. The user's code writes to standard error instead.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpcsweep import executable, target
from hpcsweep.errors import HpcsweepError, TargetError
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import GIVEN, Policies
from hpcsweep.provenance import packages, this_python
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.user_import import import_user_code
from hpcsweep.worker.function import fixed_values, load_function

Check = Callable[[SweepDirectory, str, list[int]], dict[str, object]]


def check(sweep: SweepDirectory, fingerprint: str, indices: list[int]) -> dict[str, object]:
    """Open the frozen manifest as a task does, make some cases, import the target.

    *Raises* TargetError, SweepError.
    """
    installed = packages()  # before the import: the target may change sys.path
    directory = sweep.manifest_dir(fingerprint)
    manifest = frozen.read(directory)
    function = _usable(manifest, "the target")
    # Before the source is opened: a custom source imports modules that a case's process does not.
    code = {"code_digest": target.code_digest(manifest), "code_files": target.code_files(manifest)}
    source = frozen.open_source(directory, manifest)
    cases = [source[index] for index in indices]
    policies = Policies.from_json(manifest.policies)
    if function is not None:
        names = {name for case in cases for name in case.params}
        cached, takes_any = manifest.cache is not None, policies.is_reduce
        target.check_arguments(function, names, manifest.target, cached=cached, takes_any=takes_any)
        fixed_values(manifest)
    if policies.reduce is not None:  # at last: its modules are no code of the cases
        _check_reduce(replace(manifest, target=policies.reduce.target))
    return code | {
        "ids": {case.index: case.case_id for case in cases},
        "packages": installed,
        "python": this_python(),
    }


def _usable(manifest: FrozenManifest, what: str) -> target.Function | None:
    """Import the function of a manifest; None for a command, whose program is checked."""
    if not manifest.target.is_command:
        return import_user_code(lambda: load_function(manifest), what, manifest.target, manifest)
    _check_program(manifest)
    return None


def _check_reduce(manifest: FrozenManifest) -> None:
    function = _usable(manifest, "the reduce")
    if function is not None:
        target.check_arguments(function, GIVEN, manifest.target, takes_any=True)


def _check_program(manifest: FrozenManifest) -> None:
    program = manifest.target.argv[0]
    os.chdir(manifest.root)
    first, *rest = program.split() or [program]
    is_line = bool(rest) and shutil.which(first) is not None
    if "{" in program and not is_line:
        return
    if shutil.which(program) is None:
        raise TargetError(
            f"there is no program {program!r} that can be run",
            where=manifest.target.text,
            next_step=_program_advice(program, first if is_line else "", manifest.root),
        )
    why = executable.named_problem(manifest.target.argv)
    if why is not None:
        raise TargetError(why[0], where=manifest.target.text, next_step=why[1])


def _program_advice(program: str, first: str, root: str) -> str:
    """What to do about a program that is not there; `first` is one that begins its text, or ""."""
    if first:
        return f"No shell splits it: write each argument as an element, [{first}, …]."
    if "/" not in program and os.access(program, os.X_OK):
        return f"A file beside the manifest is named with its directory: ./{program}"
    advice = f"check its path: relative ones start at {root}."
    if program.startswith(("~", "$")):
        advice = "write its whole path: no shell replaces ~ and variables."
    return f"Build it, make it executable (chmod +x), or {advice}"


def main(arguments: list[str], check: Check = check) -> int:
    """Check and answer. Returns the exit code."""
    sweep, fingerprint, *indices = arguments
    answer = os.dup(1)
    os.dup2(2, 1)
    reply: dict[str, object]
    try:
        code, reply = 0, check(SweepDirectory.open(Path(sweep)), fingerprint, [*map(int, indices)])
    except HpcsweepError as error:
        code, reply = error.exit_code, {"problem": [error.what, error.where, error.next_step]}
        reply["lacks_module"] = isinstance(error, TargetError) and error.lacks_module
    os.write(answer, json.dumps(reply).encode())
    return code
