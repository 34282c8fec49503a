"""A program, `check ANSWER SWEEP FINGERPRINT INDEX…`: find what would fail in every task.

`submit` runs it in a fresh interpreter, after the setup lines, before anything is sent. It writes
one JSON object to the file descriptor ANSWER: case ids by index, the digest of the code and the
packages, or the problem. Standard output and error belong to the user's code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hpcsweep import executable, target
from hpcsweep.errors import HpcsweepError, TargetError
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.provenance import packages
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.user_import import import_user_code

Check = Callable[[SweepDirectory, str, list[int]], dict[str, object]]


def check(sweep: SweepDirectory, fingerprint: str, indices: list[int]) -> dict[str, object]:
    """Open the frozen manifest as a task does, make some cases, import the target.

    *Raises* TargetError, SweepError.
    """
    installed = packages()  # before the import: the target may change sys.path
    directory = sweep.manifest_dir(fingerprint)
    manifest = frozen.read(directory)
    function = None
    if manifest.target.is_command:
        _check_program(manifest)
    else:
        function = import_user_code(
            lambda: target.load(manifest), "the target", manifest.target, manifest
        )
    # Before the source is opened: a custom source imports modules that a case's process does not.
    code = {"code_digest": target.code_digest(manifest), "code_files": target.code_files(manifest)}
    source = frozen.open_source(directory, manifest)
    cases = [source[index] for index in indices]
    if function is not None:
        names = {name for case in cases for name in case.params}
        cached = manifest.cache is not None
        target.check_arguments(function, names, manifest.target, cached=cached)
    return code | {"ids": {case.index: case.case_id for case in cases}, "packages": installed}


def _check_program(manifest: FrozenManifest) -> None:
    program = manifest.target.argv[0]
    if "{" in program:
        return
    os.chdir(manifest.root)
    if shutil.which(program) is None:
        raise TargetError(
            f"there is no program {program!r} that can be run",
            where=manifest.target.text,
            next_step=f"Build it, make it executable (chmod +x), or check its path: relative ones "
            f"start at {manifest.root}.",
        )
    why = executable.named_problem(manifest.target.argv)
    if why is not None:
        raise TargetError(why[0], where=manifest.target.text, next_step=why[1])


def main(arguments: list[str], check: Check = check) -> int:
    """Check and answer. Returns the exit code."""
    answer, sweep, fingerprint, *indices = arguments
    found: dict[str, object]
    try:
        code, found = 0, check(SweepDirectory.open(Path(sweep)), fingerprint, [*map(int, indices)])
    except HpcsweepError as error:
        code, found = error.exit_code, {"problem": [error.what, error.where, error.next_step]}
    os.write(int(answer), json.dumps(found).encode())
    return code
