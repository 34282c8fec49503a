"""A command's case: the child becomes the program, in the run directory."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence

from hpcsweep import target
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.worker import streams
from hpcsweep.worker.messages import Ends, MakeCase, Request

# As a shell uses them.
EXIT_CANNOT_EXECUTE = 126
EXIT_NOT_FOUND = 127


class Command:
    """The program of a child that becomes the command of a manifest."""

    is_persistent = False

    def __init__(self, manifest: FrozenManifest) -> None:
        self._manifest = manifest
        # Its files do not change while a task runs them: one digest for all its cases.
        self.code_digest: str | None = target.code_digest(manifest)

    def run(self, ends: Ends, request: Request | MakeCase) -> None:
        """Become the command of one case. As `ChildProgram` says."""
        # What makes it end with its worker belongs to the open file: the command keeps it.
        os.set_inheritable(ends.lifeline, True)
        if isinstance(request, Request):
            _execute(self._manifest, request)


def _execute(manifest: FrozenManifest, request: Request) -> None:
    places = {
        "run_dir": request.run_dir or "",
        "seed": str(request.seed),
        "case_id": request.case_id,
        "index": str(request.index),
        "params_json": json.dumps(request.params, ensure_ascii=False),
    }
    if request.result_file is not None:
        places["result_file"] = request.result_file
    argv = target.command_line(manifest.target, request.params, places, request.written)
    environment = os.environ | {
        "HPCSWEEP_RUN_DIR": places["run_dir"],
        "HPCSWEEP_CASE_ID": request.case_id,
        "HPCSWEEP_INDEX": places["index"],
        "HPCSWEEP_SEED": places["seed"],
        "HPCSWEEP_CHECKPOINTS": request.checkpoints,
    }
    streams.capture(request.run_dir, (1, 2))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; a program expects them
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.chdir(manifest.root)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        _complain(f"{error.filename or argv[0]}: {error.strerror}{_why(argv)}")
        missing = isinstance(error, FileNotFoundError)
        os._exit(EXIT_NOT_FOUND if missing else EXIT_CANNOT_EXECUTE)
    except ValueError as error:  # an argument with a NUL, which would end it there
        _complain(f"an argument cannot be given to a program: {error}")
        os._exit(EXIT_CANNOT_EXECUTE)


def _why(argv: Sequence[str]) -> str:
    """More than `execve` says of a program that is there."""
    from hpcsweep import executable  # noqa: PLC0415  # for those that cannot be started

    why = executable.named_problem(argv)
    return "" if why is None else f": {why[0]}. {why[1]}"


def _complain(message: str) -> None:
    os.write(2, f"hpcsweep: {message}\n".encode(errors="backslashreplace"))
