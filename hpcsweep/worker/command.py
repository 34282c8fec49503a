"""The case of a command: the child executes the program."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence

from hpcsweep import target
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.worker import streams
from hpcsweep.worker.messages import CASE_ID, ChildChannel, MakeCase, Request

# The codes of a shell.
EXIT_CANNOT_EXECUTE = 126
EXIT_NOT_FOUND = 127


class Command:
    """The program of a child that executes the manifest's command."""

    is_persistent = False

    def __init__(self, manifest: FrozenManifest) -> None:
        self._manifest = manifest
        self._argv = target.argv_of(manifest)
        chosen = manifest.policies.get("checkpoint_signal")
        self.checkpoint_signal = None if chosen is None else signal.Signals[f"SIG{chosen}"]
        # One digest for all cases: the files do not change while a task runs them.
        self.code_digest: str | None = target.code_digest(manifest)

    def run(self, channel: ChildChannel, request: Request | MakeCase) -> None:
        """Execute the command of one case. See `ChildProgram`."""
        # The kill signal of `die_with_worker` belongs to the open file: the command must keep it.
        os.set_inheritable(channel.lifeline, True)
        if isinstance(request, Request):
            _execute(self._manifest.root, self._argv, request)


def _execute(root: str, command: Sequence[str], request: Request) -> None:
    places = {
        "run_dir": request.run_dir or "",
        "seed": str(request.seed),
        "case_id": request.case_id,
        "index": str(request.index),
        "params_json": json.dumps(request.params, ensure_ascii=False),
    }
    if request.result_file is not None:
        places["result_file"] = request.result_file
    argv = target.command_line(command, request.params, places, request.written)
    # Python keeps what it prints to a file until 8 kB are full: nobody could follow a case, and a
    # signal would lose the last lines.
    environment = (
        {"PYTHONUNBUFFERED": "1"}
        | os.environ
        | {
            "HPCSWEEP_RUN_DIR": places["run_dir"],
            CASE_ID: request.case_id,
            "HPCSWEEP_INDEX": places["index"],
            "HPCSWEEP_SEED": places["seed"],
            "HPCSWEEP_CHECKPOINTS": request.checkpoints,
        }
    )
    streams.capture(request.run_dir, (1, 2))
    for ignored in (
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # Python ignores them; a program expects the default
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.chdir(root)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        _report(f"{argv[0]}: {error.strerror}{_exec_problem(argv)}")
        missing = isinstance(error, FileNotFoundError)
        os._exit(EXIT_NOT_FOUND if missing else EXIT_CANNOT_EXECUTE)
    except ValueError as error:  # an argument contains a NUL
        _report(f"an argument cannot be given to a program: {error}")
        os._exit(EXIT_CANNOT_EXECUTE)


def _exec_problem(argv: Sequence[str]) -> str:
    """Why an existing program cannot be executed, in more detail than errno; "" if unknown."""
    from hpcsweep import executable  # noqa: PLC0415  # for a failed exec only

    why = executable.named_problem(argv)
    return "" if why is None else f": {why[0]}. {why[1]}"


def _report(message: str) -> None:
    os.write(2, f"hpcsweep: {message}\n".encode(errors="backslashreplace"))
