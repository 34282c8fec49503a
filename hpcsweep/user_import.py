"""Import the user's modules before a submission; report what they raise as the user's error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hpcsweep import shadowed_modules
from hpcsweep.errors import HpcsweepError, TargetError
from hpcsweep.importing import missing_module_advice
from hpcsweep.manifest.frozen import FrozenManifest, Target

T = TypeVar("T")
# What a job has in its environment, and a login shell does not.
_JOB_VARIABLES = ("SLURM_", "SLURMD_", "PBS_")


def import_user_code(
    load: Callable[[], T], what: str, target: Target, manifest: FrozenManifest
) -> T:
    """Call `load`, which imports user code. *Raises* TargetError, whatever the code raises."""
    try:
        return load()
    except HpcsweepError:
        raise
    # A module may raise anything while it is imported.
    except BaseException as error:
        named = manifest.interpreter
        every_task = (
            f"Every task would fail as well: {target.text} must work in a fresh "
            f"interpreter, {sys.executable}, with the same modules and environment."
        )
        cause = shadowed_modules.explain_shadowing(error) or _error_text(error)
        problem = TargetError(
            f"{what} cannot be imported: {cause}",
            where=_code_location(error, target, manifest),
            next_step=f"{_job_variable_advice(error) or every_task}"
            f"{_program_advice(error)}{_package_advice(error, target, manifest)}"
            f"{missing_module_advice(error, None if named is None else named.where)}",
        )
        problem.lacks_module = isinstance(error, ModuleNotFoundError)
        raise problem from error


def _job_variable_advice(error: BaseException) -> str:
    """What to do about a variable that only jobs have; empty for other errors."""
    name = error.args[0] if isinstance(error, KeyError) and error.args else None
    if not (isinstance(name, str) and name.startswith(_JOB_VARIABLES)):
        return ""
    return (
        f"Only jobs have the variable {name}, and the target is imported here first: read it in "
        f'the function, or by `os.environ.get("{name}")`.'
    )


def _program_advice(error: BaseException) -> str:
    """What to do about an import that ends its process, after a space; empty for other errors."""
    if not isinstance(error, SystemExit):
        return ""
    return (
        " The import ends the process. What the file does as a program, such as reading its "
        'command line, belongs below `if __name__ == "__main__":`.'
    )


def _package_advice(error: BaseException, target: Target, manifest: FrozenManifest) -> str:
    """How to name a module of a package, after a space; empty for other errors."""
    if not isinstance(error, ImportError):
        return ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = Path("src", error.name.partition(".")[0])
        named = Path(manifest.root, target.module or "")
        if named.is_file():
            return f" {named} is there: a target in a file has the name of a .py file."
        if Path(manifest.root, package).is_dir():
            return (
                f" {package} is there: write `setup: [export PYTHONPATH=$PWD/src]`, or install it."
            )
        return ""
    if "no known parent package" not in error.msg or target.file is None:
        return ""
    module = ".".join(Path(target.file).with_suffix("").parts)
    if "." not in module:
        return " A file is imported alone, without a package: leave out the dot before the name."
    return (
        " A file is imported alone, without its package: name it as a module, "
        f"`target: {module}:{target.function}`."
    )


def _error_text(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001  # a user's class may raise in __str__
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _code_location(error: BaseException, named: Target, manifest: FrozenManifest) -> str:
    """`file:line` of the innermost frame in the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    own = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(manifest.root)
        and "/site-packages/" not in frame.filename
    ]
    return own[-1] if own else named.text
