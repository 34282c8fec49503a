"""Freeze and check what is to be submitted, in the interpreter that its tasks will use.

Where the target lacks a module in hpcsweep's own interpreter, and `modules` or `setup` put another
one first on PATH, that one is used as if `python:` had named it, and a notice says so.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import FrozenManifest, TaskInterpreter, sealed
from hpcsweep.submission.preflight import Checked, preflight
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.undo import UndoLog, undo_on_error
from hpcsweep.worker.launcher import Launcher

Notify = Callable[[str], None]


def checked_request(
    request: SubmitRequest,
    sweep: SweepDirectory,
    environment: Mapping[str, str],
    made: UndoLog,
    notify: Notify,
) -> tuple[SubmitRequest, Checked]:
    """Freeze and check the manifest. Returns the request with the interpreter of its tasks.

    `environment`: variables of the cluster's programs, added to ours. *Raises* as `preflight`.
    *Writes* a frozen manifest.
    """
    try:
        return request, _check(request, sweep, environment, made)
    except TargetError as error:
        python = _python_of_setup(request.manifest, sweep.path, environment, error)
        if python is None:
            raise
        key = _key(request.manifest)
        interpreter = TaskInterpreter(python=python, where=key)
        manifest = sealed(replace(request.manifest, interpreter=interpreter))
        other = replace(request, manifest=manifest)
        checked = _check_again(other, sweep, environment, made, error)
        notify(
            f"{manifest.target.text} is run by {python}, which `{key}` put first on PATH; "
            f"{sys.executable}, where hpcsweep is installed, cannot import it "
            f"({error.what.partition(': ')[2]}). The key `python` can name one."
        )
        return other, checked


def _key(manifest: FrozenManifest) -> str:
    """The key of the setup lines; no single line has it as its place."""
    kinds = {line.kind for line in manifest.setup}
    return "modules" if kinds == {"module"} else "setup"


def check_elsewhere(
    request: SubmitRequest, environment: Mapping[str, str], notify: Notify
) -> tuple[SubmitRequest, Checked]:
    """Like `checked_request`, in a temporary sweep directory."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        sweep = SweepDirectory.create(Path(temporary) / "sweep", request.manifest.name)
        return checked_request(request, sweep, environment, UndoLog(), notify)


def _check(
    request: SubmitRequest, sweep: SweepDirectory, environment: Mapping[str, str], made: UndoLog
) -> Checked:
    """Freeze and check a manifest; nothing of it is left if that fails."""
    with undo_on_error() as frozen:
        sweep.freeze(request.version, frozen)
        checked = preflight(sweep, request.manifest, request.source, environment)
    made.add(frozen)
    return checked


def _check_again(
    request: SubmitRequest,
    sweep: SweepDirectory,
    environment: Mapping[str, str],
    made: UndoLog,
    first: TargetError,
) -> Checked:
    """Check in another interpreter. *Raises* the `first` error unless it lacks a module, too."""
    try:
        return _check(request, sweep, environment, made)
    except TargetError as error:
        if not error.lacks_module:
            raise first from error
        error.next_step += (
            f" {sys.executable}, which hpcsweep is installed in, lacks a module, too; another "
            "interpreter can be named by the key `python:`."
        )
        raise


def _python_of_setup(
    manifest: FrozenManifest, sweep: Path, environment: Mapping[str, str], error: TargetError
) -> str | None:
    """The interpreter that the setup lines put first on PATH, if that may help; else None."""
    if not error.lacks_module or not manifest.setup or manifest.interpreter is not None:
        return None
    return Launcher.of(manifest, sweep).python_of_setup(environment)
