"""Explain an import error caused by a user's file that shadows a module we need.

Examples: `token.py` beside a target, `click.py` on PYTHONPATH, an old `numpy` in the user's
site-packages. Imports only `os` and `sys`: any other module may be the shadowed one.
"""

import os
import sys

from hpcsweep.terminal_text import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

# Characters of an error's message that are quoted.
MESSAGE_CHARACTERS = 200


def explain_shadowing(error: "BaseException | None") -> "str | None":
    """Which file shadows which module, and the remedy, in one line; None for other errors.

    A damaged copy that Python keeps of a module is told as well.
    """
    if not isinstance(error, Exception):
        return None
    for cause in _chain(error):
        if (copy := damaged_copy(cause)) is not None:
            return one_line(f"{copy} is damaged, as a full disk leaves it: remove it")
        for file in _suspects(cause):
            shadowed = _shadowed_by(file)
            if shadowed is not None:
                entry, hidden = shadowed
                message = f"{type(cause).__name__}: {cause}".partition("\n")[0][:MESSAGE_CHARACTERS]
                text = f"{file} is imported in place of {hidden} ({message}): {_remedy(entry)}"
                return one_line(text)
    return None


def damaged_copy(error: "BaseException") -> "str | None":
    """The compiled copy of a module whose end is missing; None for other errors.

    Before 3.12.8 Python did not check that it had written all of it.
    """
    trace = error.__traceback__ if isinstance(error, (EOFError, ValueError, TypeError)) else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<frozen importlib._bootstrap_external>":
            path = trace.tb_frame.f_locals.get("bytecode_path")
            if isinstance(path, str):
                return path
        trace = trace.tb_next
    return None


def _chain(error: "BaseException | None") -> "Iterator[BaseException]":
    """An error and its causes and contexts."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _suspects(error: BaseException) -> "Iterator[str]":
    """Files that an error points to, the most specific first."""
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename
    if isinstance(error, ImportError):
        if error.path:
            yield error.path
        yield from _file(sys.modules.get((error.name or "").partition(".")[0]))
    if isinstance(error, AttributeError) and hasattr(error, "obj"):  # since Python 3.10
        yield from _file(error.obj if isinstance(error.obj, type(sys)) else None)
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        yield frame.f_code.co_filename
    if frames:
        yield from _modules_used_by(frames[-1])
    # A C extension does not say from which module it wanted to import.
    if type(error) is ImportError and not error.name:
        for module in reversed(list(sys.modules.values())):
            yield from _file(module)


def _modules_used_by(frame: "FrameType") -> "Iterator[str]":
    """Files of the modules that a frame uses or imported names from."""
    for value in list(frame.f_globals.values()):
        if isinstance(value, type(sys)):
            yield from _file(value)
        elif isinstance(name := getattr(value, "__module__", None), str):
            yield from _file(sys.modules.get(name))


def _file(module: "ModuleType | None") -> "Iterator[str]":
    path = getattr(module, "__file__", None)
    if isinstance(path, str):
        yield path


def _shadowed_by(file: str) -> "tuple[str, str] | None":
    """The path entry that a file was imported from, and the file of that name after it."""
    path = [os.path.abspath(entry) for entry in sys.path]
    for number, entry in enumerate(path):
        if not file.startswith(os.path.join(entry, "")) or _is_installation(entry):
            continue
        name = os.path.relpath(file, entry).partition(os.sep)[0].partition(".")[0]
        others = (_module(later, name) for later in path[number + 1 :] if later != entry)
        hidden = next(filter(None, others), "")
        # A module of another operating system; the list is there since Python 3.10.
        if not hidden and name in getattr(sys, "stdlib_module_names", ()):
            hidden = f"Python's own {name}"
        if hidden and _module(entry, name):
            return entry, hidden
    return None


def _is_installation(entry: str) -> bool:
    """Whether a path entry belongs to the Python installation or its site-packages."""
    inside = any(entry.startswith(os.path.join(root, "")) for root in (sys.prefix, sys.base_prefix))
    return inside and entry not in _python_path()


def _module(entry: str, name: str) -> str:
    """The file of a module in a directory; empty if there is none."""
    package = os.path.join(entry, name, "__init__.py")
    if os.path.exists(package):
        return package
    try:
        names = os.listdir(entry)
    except OSError:  # a zip archive, or missing
        return ""
    files = (file for file in names if file.partition(".")[0] == name)
    file = next((file for file in files if file.endswith((".py", ".so"))), "")
    return file and os.path.join(entry, file)


def _python_path() -> list[str]:
    entries = os.environ.get("PYTHONPATH")
    return [os.path.abspath(entry) for entry in entries.split(os.pathsep)] if entries else []


def _remedy(entry: str) -> str:
    if entry in _python_path():
        return f"rename it, or take {entry} off PYTHONPATH"
    if entry == getattr(sys.modules.get("site"), "USER_SITE", None):
        return "uninstall it there, or set PYTHONNOUSERSITE=1"
    return "rename it"
