"""Start and end of each of our programs; `python -m hpcsweep.program MODULE ARGUMENT…`.

Imports only modules that Python has loaded by then or that are built into it, and so does
`hpcsweep/__init__`: a user's file may shadow any other module.
"""

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


def begin() -> None:
    """Open closed standard streams, and install a hook that explains failed imports.

    *Safe to repeat.*
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # os.open returns the lowest free number, which is this one. Otherwise the next file
            # would get it, and printed text would end up in a database or a journal.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
    if issubclass(kind, KeyboardInterrupt):  # while modules load: seconds on a busy file system
        sys.stderr.write("Aborted!\n")  # as click says later
        return
    if isinstance(error, OSError):  # e.g. too many open files while a module is read
        what = f"{error.filename or 'Python'}: {error.strerror or error}"
        sys.stderr.write(f"hpcsweep: {ascii(what)[1:-1]}\n")
        return
    from hpcsweep import shadowed_modules  # noqa: PLC0415  # needed after an error only

    explanation = shadowed_modules.explain_shadowing(error)
    if explanation is None:
        sys.__excepthook__(kind, error, trace)
    else:
        sys.stderr.write(f"hpcsweep: {explanation}\n")
        sys.modules.pop("threading", None)  # Python calls it at exit; it may shadow its own


def run(module: str, arguments: list[str]) -> int:
    """Call a module's `main`; prints an HpcsweepError as a message. Returns the exit code."""
    begin()
    from hpcsweep.errors import HpcsweepError  # noqa: PLC0415  # not before `begin`

    try:
        code = _main_of(module)(arguments)
    except HpcsweepError as error:
        from hpcsweep.redact import redact  # noqa: PLC0415  # rarely needed
        from hpcsweep.terminal_text import visible  # noqa: PLC0415  # the same

        sys.stderr.write(f"hpcsweep: {visible(redact(str(error)))}\n")
        return error.exit_code
    return int(code)


def signal_name(number: int) -> str:
    """The name of a signal; Python has none for most real-time signals."""
    from signal import Signals  # noqa: PLC0415  # not before `begin`

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _main_of(module: str) -> "Callable[[list[str]], int]":
    """Import a module without garbage collections, which would find nothing: what it makes stays.

    They take a tenth of the start of a task. Later collections leave these objects out.
    """
    gc.disable()
    try:
        main: Callable[[list[str]], int] = __import__(module, fromlist=["main"]).main
    finally:
        gc.freeze()
        gc.enable()
    return main


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
