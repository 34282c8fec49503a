"""The user's target: import it, check it, call it with named arguments, digest its code.

Standard library only. The worker itself never imports user code; its children do.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcsweep.errors import TargetError
from hpcsweep.ids import sha256_of
from hpcsweep.importing import CopyFinder, copied_file, importing
from hpcsweep.manifest.frozen import FrozenManifest, Target

Function = Callable[..., Any]
_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD

# Modules of Python and of hpcsweep are not the user's code, even if the manifest is in a directory
# above our checkout. Compare the paths as imported: `realpath` would look up every parent directory
# of every module, once per task (invariant 17).
_NO_USERS_CODE = tuple(
    os.path.join(os.path.dirname(file), "")  # noqa: PTH118, PTH120
    for file in (os.__file__, __file__)
)

# Packages whose decorators make a command of a function.
_COMMAND_LINES = ("click", "typer")

# Arguments that a function may request besides its parameters.
GIVEN = ("params", "log", "rng", "seed", "case", "checkpoint")


def load(manifest: FrozenManifest) -> Function:
    """Import the target's function, as every child of a worker does.

    *Raises* TargetError for an invalid target; exceptions of the user's module pass through.
    """
    copies = CopyFinder(manifest.root, manifest.code_root) if manifest.code_root else None
    function: Function = import_object(manifest.target, Path(manifest.root), copies)
    _refuse_unusable(function, manifest.target)
    return function


def import_object(target: Target, root: Path, copies: CopyFinder | None = None) -> Any:
    """Import the object that a target names, from `copies` of modules. *Raises* like `load`."""
    imported: Any = _module(target, root, copies)
    for name in (target.function or "").split("."):
        imported = getattr(imported, name, None)
        if imported is None:
            raise TargetError(
                f"there is no {target.function!r} in it",
                where=target.text,
                next_step="Check the name after the colon.",
            )
    return imported


def _module(target: Target, root: Path, copies: CopyFinder | None) -> ModuleType:
    if target.file is None:
        _search_first(root, copies)
        with importing(target.module or ""):
            return importlib.import_module(target.module or "")
    path = Path(_real(str(root / target.file)))
    # On sys.path like a script's directory; a process pool can then import it by name, too.
    _search_first(path.parent, copies)
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = copies.spec_from_file(name, str(path)) if copies is not None else None
    spec = spec or importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError("is not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importing(target.file):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _search_first(directory: Path, copies: CopyFinder | None) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    if copies is not None:
        sys.meta_path.insert(sys.meta_path.index(PathFinder), copies)
        copies.search_copies()


def _refuse_unusable(imported: Any, target: Target) -> None:
    what = None
    if inspect.isclass(imported):
        what = "a class; name a function that makes and uses it"
    elif not callable(imported):
        what = f"{type(imported).__name__}, not a function; check the name after the colon"
    elif inspect.iscoroutinefunction(imported) or inspect.isasyncgenfunction(imported):
        what = "a coroutine; wrap it in a function that calls asyncio.run"
    elif inspect.isgeneratorfunction(imported):
        what = "a generator; return a dict of metrics instead"
    elif type(imported).__module__.partition(".")[0] in _COMMAND_LINES:
        what = (
            "a command, which reads its arguments from a command line; name a function without "
            'this decorator, or write `command: [python, file.py, "--x={x}"]`'
        )
    elif getattr(imported, "__name__", "") == "<lambda>":
        what = "a lambda; give it a name with def, so that an error can say where it was"
    if what:
        raise TargetError(f"the target is {what}", where=target.text)


def check_arguments(
    function: Function,
    names: Iterable[str],
    target: Target,
    *,
    cached: bool = False,
    takes_any: bool = False,
) -> None:
    """Refuse a function whose arguments do not match the source's parameters.

    `cached`: it must also write a result. `takes_any`: it need not take every parameter.
    *Raises* TargetError naming the arguments that nothing fills, and the parameters that no
    argument takes.
    """
    try:
        signature = inspect.signature(function)
    except ValueError as error:
        raise TargetError(f"its arguments are not known: {error}", where=target.text) from error
    parameters = set(names)
    arguments = signature.parameters.values()
    if cached:
        if is_runner(function, parameters):
            return
        _check_takes_result_file(signature, target)
        parameters.add("result_file")
    by_name = {p.name for p in arguments if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in arguments) or by_name & {"params", "case"}
    by_position = {
        p.name
        for p in arguments
        if p.kind is p.POSITIONAL_ONLY and (p.default is p.empty or p.name in parameters)
    }
    unfilled = sorted(
        p.name
        for p in arguments
        if p.default is p.empty and p.name in by_name - parameters - set(GIVEN)
    )
    unused = [] if takes_rest or takes_any else sorted(parameters - by_name - by_position)
    problems = []
    if by_position:
        them = ", ".join(sorted(by_position))
        problems.append(f"it takes {them} by position only, and is called by name: remove the /")
    if unfilled:
        problems.append(f"nothing fills its argument {', '.join(unfilled)}")
    if unused:
        problems.append(f"it does not take the parameter {', '.join(unused)}")
    if problems:
        raise TargetError(
            "; ".join(problems),
            where=target.text,
            next_step=f"A function may ask for parameters by name, for {', '.join(GIVEN)}, "
            "or for the rest with **rest; `carry` names columns of a table that it does not take.",
        )


def is_runner(function: Function, names: Iterable[str]) -> bool:
    """Whether a `Store` may call the function: it takes all params as one dict."""
    arguments = list(inspect.signature(function).parameters.values())
    named = {*names, *GIVEN, "result_file"}
    return (
        len(arguments) == 1
        and arguments[0].kind in (inspect.Parameter.POSITIONAL_ONLY, _EITHER)
        and (arguments[0].name == "params" or arguments[0].name not in named)
    )


def _check_takes_result_file(signature: inspect.Signature, target: Target) -> None:
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    if takes_rest or not {"params", "result_file"}.isdisjoint(signature.parameters):
        return
    raise TargetError(
        "it takes no result_file, where a cache takes the result from",
        where=target.text,
        next_step="Add an argument result_file, a path, and write the result there.",
    )


def call(function: Function, params: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Call the target with the arguments that it names.

    `given` maps each of `GIVEN` to a factory: e.g. numpy is imported for `rng` only.
    """
    arguments: dict[str, Any] = {}
    for name, takes_rest in _arguments(function):
        if takes_rest:
            arguments |= {k: v for k, v in params.items() if k not in arguments}
        elif name in given:
            arguments[name] = given[name]()
        elif name in params:
            arguments[name] = params[name]
    return function(**arguments)


def requested_names(function: Function) -> frozenset[str]:
    """The names of `GIVEN` that a function requests. *Raises* ValueError if it has no signature."""
    return frozenset(name for name, _ in _arguments(function)) & frozenset(GIVEN)


@lru_cache(maxsize=1)  # one target per process; avoids inspecting it for each case
def _arguments(function: Function) -> list[tuple[str, bool]]:
    """The names of the arguments, and for each whether it is **kwargs."""
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind is parameter.VAR_KEYWORD) for parameter in parameters]


def argv_of(manifest: FrozenManifest) -> tuple[str, ...]:
    """The command, with the kept copy of each file below the manifest's directory it names."""
    first, *rest = manifest.target.argv
    program = _copy_of(manifest, first) if "/" in first else first
    return (program, *(_copy_of(manifest, element) for element in rest))


def _copy_of(manifest: FrozenManifest, element: str) -> str:
    if not manifest.code_root or not is_below(element):
        return element
    path = _code_path(manifest, element)
    return element if path is None else path.replace("{", "{{").replace("}", "}}")


def is_below(element: str) -> bool:
    """Whether an element of a command could name a file below the manifest's directory."""
    return not element.startswith("/") and not {"{", "}", ".."} & {*element, *element.split("/")}


def command_line(
    argv: Iterable[str],
    params: Mapping[str, Any],
    places: Mapping[str, str],
    written: Mapping[str, str],
) -> tuple[str, ...]:
    """The argv of a case: placeholders filled per element; nothing is passed to a shell.

    `argv` is that of the manifest, or of `argv_of`. `places` holds the values besides parameters:
    run_dir, seed, case_id, index, params_json.
    `written` has the original text of params from a table. A parameter that the case does not have
    becomes the empty text, and an option with it, `--depth={depth}`, is left out.
    """
    values = {name: argument_text(value) for name, value in params.items()}
    values |= {**written, **places}
    filled = ((element, *_fill(element, values)) for element in argv)
    return tuple(
        text for element, text, is_whole in filled if is_whole or not element.startswith("-")
    )


def argument_text(value: Any) -> str:
    """A parameter as one command argument: strings unchanged, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fill(element: str, values: Mapping[str, str]) -> tuple[str, bool]:
    """The element with its placeholders filled, and whether all of them have a value."""
    # `str.format` would also evaluate attributes and indices; only names and {{ }} are allowed.
    filled, rest, is_whole = "", element, True
    while rest:
        brace = min((i for i in (rest.find("{"), rest.find("}")) if i >= 0), default=len(rest))
        filled, rest = filled + rest[:brace], rest[brace:]
        if rest[:2] in ("{{", "}}"):
            filled, rest = filled + rest[0], rest[2:]
        elif rest.startswith("{"):
            name, _, rest = rest[1:].partition("}")
            filled += values.get(name, "")
            is_whole = is_whole and name in values
        else:
            filled, rest = filled + rest[:1], rest[1:]
    return filled, is_whole


def code_digest(manifest: FrozenManifest) -> str:
    """16 hex digits over the code that this process uses; see `code_files`."""
    root = Path(manifest.root)
    if not manifest.target.is_command:
        return digest_of(_module_files(root))
    names = code_files(manifest)
    return digest_of({name: Path(_code_path(manifest, name) or root / name) for name in names})


def code_files(manifest: FrozenManifest) -> list[str]:
    """The files of the user's code, relative to the manifest's directory.

    For a function: every loaded module file below it, except installed packages. For a command:
    every file that argv names.
    """
    root = Path(manifest.root)
    if manifest.target.is_command:
        kept = _named_files(manifest.target.argv, manifest.code)
        return sorted(kept | _named_files(manifest.target.argv, root))
    return sorted(_module_files(root))


def digest_without_import(manifest: FrozenManifest, recorded: list[str] | None) -> str | None:
    """The `code_digest` if the code consists of these files; None if this cannot be known.

    Importing a further module needs a change in one of these files, so no change is missed.
    """
    root = Path(manifest.root)
    names = code_files(manifest) if manifest.target.is_command else recorded
    if names is None or not os.access(root, os.R_OK | os.X_OK):  # elsewhere, or not readable
        return None
    paths = [root / name for name in names]
    if any(path.exists() and not os.access(path, os.R_OK) for path in paths):
        return None
    return digest_of({name: root / name for name in names})


def digest_of(paths: Mapping[str, Path]) -> str:
    """16 hex digits over the names and contents of files."""
    digest = hashlib.sha256(b"hpcsweep code 1")
    for name, path in sorted(paths.items()):
        digest.update(name.encode() + b"\0" + _content_digest(path))
    return digest.hexdigest()[:16]


def _code_path(manifest: FrozenManifest, name: str) -> str | None:
    """The copy of a file that the submission keeps; None if there is none."""
    path = f"{manifest.code_root}/{name}"
    # A link leads to a file that is not kept.
    is_kept = manifest.code_root and _is_file(Path(path)) and not os.path.islink(path)  # noqa: PTH114
    return path if is_kept else None


def _content_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return sha256_of(stream)
    except OSError:  # executable but not readable
        return b""


def _named_files(argv: Iterable[str], root: Path) -> set[str]:
    return {argument for argument in argv if "{" not in argument and _is_file(root / argument)}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a script passed as an argument is too long for a file name
        return False


def _module_files(root: Path) -> dict[str, Path]:
    """The user's modules by their names relative to a directory, and the files they came from."""
    prefix = os.path.join(_real_directory(str(root)), "")  # noqa: PTH118
    return {
        path.removeprefix(prefix): Path(copied_file(module) or path)
        for path, module in user_modules(root).items()
    }


def user_modules(root: Path) -> dict[str, ModuleType]:
    """The loaded modules below a directory, by file; except installed packages."""
    modules = {}
    prefix = os.path.join(_real_directory(str(root)), "")  # noqa: PTH118  # one string per module
    installed = os.path.join(_real_directory(sys.prefix), "")  # noqa: PTH118
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or name.startswith(_NO_USERS_CODE):
            continue
        path = _real(name)
        # A virtual environment may be inside the project's directory.
        below = path.startswith(prefix) and not path.startswith(installed)
        if below and "/site-packages/" not in path:
            modules[path] = module
    return modules


@lru_cache(maxsize=256)
def _real(path: str) -> str:
    """Like `os.path.realpath`, but resolves each directory only once."""
    directory, name = os.path.split(path)
    path = os.path.join(_real_directory(directory), name)  # noqa: PTH118
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


@lru_cache(maxsize=64)
def _real_directory(path: str) -> str:
    return os.path.realpath(path)
