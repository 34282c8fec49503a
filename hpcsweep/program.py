"""What each program of ours does first and last; `python -m hpcsweep.program MODULE ARGUMENT…`.

Imports nothing that Python has not imported by then, and nor does `hpcsweep` itself: a file of the
user's may have the name of any other module.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def begin() -> None:
    """Open the standard streams that are closed; from now on an import that fails names why.

    *Safe to repeat.*
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, so this one. Else the next file that is opened would
            # have it: what any program prints would be written into a database or a journal.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
    if isinstance(error, OSError):  # a module could not be read: too many open files
        what = f"{error.filename or 'Python'}: {error.strerror or error}"
        sys.stderr.write(f"hpcsweep: {ascii(what)[1:-1]}\n")
        return
    from hpcsweep import shadowed_modules  # noqa: PLC0415  # a program that works need not look it up

    found = shadowed_modules.explain_shadowing(error)
    if found is None:
        sys.__excepthook__(kind, error, trace)
    else:
        sys.stderr.write(f"hpcsweep: {found}\n")
        sys.modules.pop("threading", None)  # Python calls it when it ends: it may be what is hidden


def run(module: str, arguments: list[str]) -> int:
    """Call a module's `main`; an error of ours becomes a message. Returns the exit code."""
    begin()
    from hpcsweep.errors import HpcsweepError  # noqa: PLC0415  # not before `begin`

    try:
        code = __import__(module, fromlist=["main"]).main(arguments)
    except HpcsweepError as error:
        from hpcsweep.redact import redact  # noqa: PLC0415  # rarely needed
        from hpcsweep.terminal_text import visible  # noqa: PLC0415  # the same

        sys.stderr.write(f"hpcsweep: {visible(redact(str(error)))}\n")
        return error.exit_code
    return int(code)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
