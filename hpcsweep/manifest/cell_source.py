"""Functions of notebooks and prompts as modules: their source, and what it uses.

    .hpcsweep/<sweep>/<function>_cell.py    beside the notebook; replaced when the cell changes

The source is what Python recorded of the cell. A global that it uses becomes an import, the source
of another function or class of the notebook, or a plain value. Nothing is pickled.
"""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import InputError
from hpcsweep.manifest.generated_files import DIRECTORY, GeneratedFiles

# Characters of a value that is written into a module; larger ones are data.
VALUE_MAX = 10_000
_NO_SLUG = re.compile(r"[^A-Za-z0-9._-]")
_HEAD = '''"""{name}, as the notebook or prompt had it that described the sweep {sweep!r}."""
{future}
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[2]))  # modules beside the notebook
'''


def add_cell(function: Callable[..., Any], sweep: str, generated: GeneratedFiles) -> str:
    """Add a function of a notebook as a module. Returns its path, relative to the root.

    *Raises* InputError, naming what has no source.
    """
    plain = inspect.unwrap(function)
    parts = _ModuleParts(plain.__globals__)
    parts.define(function)
    # The name is checked later, with the other keys.
    place = _NO_SLUG.sub("-", sweep).lstrip(".") or "sweep"
    name = f"{DIRECTORY}/{place}/{function.__name__}_cell.py"
    future = "\nfrom __future__ import annotations\n" if parts.is_future else ""
    head = _HEAD.format(name=function.__name__, sweep=place, future=future)
    generated[name] = "\n".join([head, *parts.imports, *parts.definitions]).encode()
    return name


class _ModuleParts:
    """The imports and definitions of a module, each in front of what uses it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._names: set[str] = set()
        self.imports: list[str] = []
        self.definitions: list[str] = []
        # Whether a cell of them has `from __future__ import annotations`.
        self.is_future = False

    def define(self, definition: Any) -> None:
        """Add a function or class of the notebook, behind what it uses."""
        source, where = _source(definition)
        self._names.add(definition.__name__)
        flags = _future_flags(definition)
        self.is_future |= bool(flags)
        code = compile(source, where, "exec", flags=flags, dont_inherit=True)
        used = dict.fromkeys(_global_names(code))
        for name in used:
            if name in self._namespace and name not in self._names:
                self._names.add(name)
                self._add(name, self._namespace[name], where)
        attributes = {name for each in _all_code(code) for name in each.co_names}
        self._import_submodules(used, attributes)
        self.definitions.append(f"\n{source}")

    def _add(self, name: str, value: Any, where: str) -> None:
        if isinstance(value, ModuleType):
            self.imports.append(f"import {value.__name__} as {name}")
        elif imported := _import_line(name, value):
            self.imports.append(imported)
        elif _is_definition(value):
            self.define(value)
            if value.__name__ != name:
                self.definitions.append(f"{name} = {value.__name__}\n")
        elif (text := _literal(value)) is not None:
            self.imports.append(f"{name} = {text}")
        else:
            raise InputError(
                f"it uses {name}, {_with_article(type(value).__name__)} of the notebook, which is "
                "neither source nor a plain value",
                where=where,
                next_step="Make it inside the function, take it as an argument and give it by "
                "`fixed`, or put both into a file.",
            )

    def _import_submodules(self, used: dict[str, None], attributes: set[str]) -> None:
        """`import scipy` alone does not load the `scipy.optimize` that a function uses."""
        for name in used:
            module = self._namespace.get(name)
            if isinstance(module, ModuleType):
                loaded = sorted(
                    f"{module.__name__}.{attribute}"
                    for attribute in attributes
                    if f"{module.__name__}.{attribute}" in sys.modules
                )
                self.imports += [
                    line
                    for line in (f"import {submodule}" for submodule in loaded)
                    if line not in self.imports
                ]


def _source(definition: Any) -> tuple[str, str]:
    """The source of a function or class, and its `file:line`. *Raises* InputError."""
    plain = inspect.unwrap(definition)
    try:
        if inspect.isclass(plain):
            return _class_source(plain)
        lines, first = inspect.getsourcelines(plain)
        return textwrap.dedent("".join(lines)), f"{plain.__code__.co_filename}:{first}"
    except (OSError, TypeError, AttributeError) as error:
        raise InputError(
            f"the source of {definition.__name__} is not known: it was defined at a prompt that "
            "keeps none, or its cell was changed",
            where="target",
            next_step="Use IPython or Jupyter and run the cell again, or put the function into a "
            "file: target='file.py:name'.",
        ) from error


def _class_source(plain: type) -> tuple[str, str]:
    """The source of a class in the newest cell that defines it. *Raises* OSError without any.

    `inspect` looks for the file of the module, which a notebook does not have.
    """
    for name, entry in reversed(linecache.cache.items()):
        if len(entry) != 4 or entry[1] is not None:  # a file, which has a time
            continue
        for node in ast.parse("".join(entry[2])).body:
            if isinstance(node, ast.ClassDef) and node.name == plain.__name__:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                return "".join(entry[2][first - 1 : node.end_lineno]), f"{name}:{first}"
    raise OSError(f"no source of {plain.__name__}")


def _future_flags(definition: Any) -> int:
    """The compiler flag of `from __future__ import annotations`, if its cell has it."""
    plain = inspect.unwrap(definition)
    parts = vars(plain).values() if inspect.isclass(plain) else [plain]
    codes = [getattr(inspect.unwrap(part), "__code__", None) for part in parts]
    flag = __future__.annotations.compiler_flag
    return flag if any(code is not None and code.co_flags & flag for code in codes) else 0


def _all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)


def _global_names(code: CodeType) -> Iterator[str]:
    """The names that a source looks up in its module, also in decorators and defaults."""
    for each in _all_code(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in ("LOAD_FROM_DICT_OR_GLOBALS", "LOAD_GLOBAL", "LOAD_NAME"):
                name = str(instruction.argval)
                if not name.startswith("__"):  # what every module has
                    yield name


def _import_line(name: str, value: Any) -> str | None:
    """The import of an object of a module; None for one of the notebook, or of no module."""
    module, known_as = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(known_as, str) or module == "__main__":
        return None
    if getattr(sys.modules.get(module), known_as, None) is not value:
        return None
    return f"from {module} import {known_as} as {name}"


def _is_definition(value: Any) -> bool:
    """Whether it was made by `def` or `class` in the notebook."""
    is_own = getattr(value, "__module__", None) == "__main__"
    return is_own and (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))


def _literal(value: Any) -> str | None:
    """A plain value as Python's text; None for a value that the text does not give back."""
    text = repr(value)
    if len(text) > VALUE_MAX:
        return None
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return text if type(read) is type(value) and read == value else None


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def refuse_unnamed(target: Any) -> None:
    """*Raises* InputError for a callable that has no name of its own in a module."""
    if inspect.ismethod(target) and not inspect.isclass(target.__self__):
        owner = type(target.__self__).__name__
        raise InputError(
            f"{target.__qualname__} is a method of one object, {_with_article(owner)}, which no "
            "task has",
            where=_place(target),
            next_step="Write a function that makes the object and calls the method.",
        )
    name = getattr(target, "__qualname__", "")
    if name and "<" not in name and getattr(target, "__module__", None):
        return
    raise InputError(
        f"{_kind(target)} has no name that a task could import{_closed_over(target)}",
        where=_place(target),
        next_step="Define it with def at the top of a file or cell; what it needs can be "
        "parameters, or files by `fixed`.",
    )


def _kind(target: Any) -> str:
    if not inspect.isfunction(target):
        return ids.shown(target)
    if target.__name__ == "<lambda>":
        return "the lambda"
    return f"{target.__name__}, which is defined inside another function,"


def _closed_over(target: Any) -> str:
    """The variables of other functions that it uses, with their types."""
    if not inspect.isfunction(target):
        return ""
    values = inspect.getclosurevars(target).nonlocals
    named = [f"{name}, {_with_article(type(value).__name__)}" for name, value in values.items()]
    return f"; it closes over {' and '.join(named)}" if named else ""


def _place(target: Any) -> str:
    code = getattr(target, "__code__", None)
    return "target" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
