"""Distributions, sources and functions of the user's own, by a reference that can be imported.

A reference is "module:name". Where it was made on the submit host, the directory of the module is
kept beside it, so that a fresh interpreter finds it; `submission.check` tries that before a submit.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.import_guard import importing, missing_module_advice
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.distributions import Distribution
from hpcsweep.sources.keys import Key, KeyType, Kind, check_names
from hpcsweep.sources.numeric.philox import K_BITS
from hpcsweep.sources.registry import SOURCE

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines
    from hpcsweep.sources.vectors import Array


def imported(reference: Any, path: Any, where: str) -> tuple[Any, str | None]:
    """What a reference names, and the directory that a fresh interpreter needs on its path.

    `path` is that directory where it is known; None for a module that is found without it.
    *Raises* SourceError.
    """
    module_name, _, name = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    parts = (*module_name.split("."), *name.split("."))
    if not all(part.isidentifier() for part in parts):
        raise SourceError(
            f"{ids.shown(reference)} is not a reference",
            where=where,
            next_step='Write it like "package.module:function".',
        )
    if module_name == "__main__":
        raise SourceError(
            f"{reference!r} is in the program that was started, which no task can import",
            where=where,
            next_step="Put it into a module of its own and name that.",
        )
    if path is not None and not isinstance(path, str):
        raise SourceError(
            f"{ids.shown(path)} is not a directory", where=f"{where}.path", next_step="Give text."
        )
    try:
        module = _module(module_name, path)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    # A module may raise anything while it is imported.
    except Exception as error:
        raise SourceError(
            f"{reference} cannot be imported: {type(error).__name__}: {error}",
            where=where,
            next_step="It must be importable in a fresh interpreter, on the submit host and the "
            "nodes: install it, or put it beside the manifest." + missing_module_advice(error),
        ) from error
    return found, _directory(module)


def _module(name: str, path: str | None) -> ModuleType:
    with _first_on_path(path), importing(name):
        return importlib.import_module(name)


@contextmanager
def _first_on_path(path: str | None) -> Iterator[None]:
    """Modules of this directory are found first, for as long as the user's code is at work.

    Not for longer: what lies beside a manifest must not hide a module of Python's from the worker.
    """
    if path is None or path in sys.path:
        yield
        return
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


def _directory(module: ModuleType) -> str | None:
    """The directory on `sys.path` that a module of the user's own comes from."""
    file = getattr(module, "__file__", None)
    installed = (os.__file__.removesuffix("os.py"), sys.prefix, sys.base_prefix)
    if file is None or file.startswith(installed) or "site-packages" in file:
        return None
    path = Path(file).resolve()
    inside = module.__name__.count(".") + (path.name == "__init__.py")
    return str(path.parents[inside])


def _called(function: Callable[[], Any], path: str | None, what: str, where: str) -> Any:
    """What a function of the user's gives. *Raises* SourceError for whatever it raises."""
    try:
        with _first_on_path(path):
            return function()
    # The user's code may raise anything.
    except Exception as error:
        raise SourceError(
            f"{what} raised {type(error).__name__}: {error}",
            where=where,
            next_step="It must give a value for every case.",
        ) from error


@dataclass(frozen=True)
class CustomDistribution(Distribution):
    """An object with `ppf(u)`, the inverse of its distribution function; u of [0, 1).

    `reference` names the object, or what makes it from `arguments`. Its values are as exact and
    as repeatable as its own arithmetic.
    """

    runs_user_code = True

    reference: str
    arguments: Mapping[str, Any] | None = None
    # Directory of the module, where it is not installed.
    path: str | None = None
    ppf: Callable[[float], Any] = field(init=False, compare=False, repr=False)

    @classmethod
    def placed(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return _beside(value, root)

    def __post_init__(self) -> None:
        where = "custom"
        found, path = imported(self.reference, self.path, where)
        arguments = None if self.arguments is None else ids.plain(self.arguments, where)
        if arguments is not None:
            found = _called(lambda: found(**arguments), path, self.reference, where)
        ppf = getattr(found, "ppf", None)
        if not callable(ppf) or isinstance(found, type):
            raise SourceError(
                f"{self.reference} has no ppf",
                where=where,
                next_step="Name an object with a method ppf(u), or a class with its arguments.",
            )
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "ppf", ppf)
        self.at(1 << (K_BITS - 1))  # a wrong one is told here, not in a task

    def __hash__(self) -> int:
        return hash((self.reference, ids.canonical(self.arguments)))

    def at(self, k: int) -> Any:
        what = f"{self.reference}.ppf"
        value = _called(lambda: self.ppf(k * 2.0**-K_BITS), self.path, what, "custom")
        return ids.plain(value, what)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.column_of(map(self.at, k.tolist()))


_REFERENCE = KeyType(
    "a [reference](sources.md#code-of-your-own), `module:name`",
    {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"},
)
_ARGUMENTS = KeyType("a mapping of names to values", {"type": ["object", "null"]})
# Found out where a manifest is read, and kept for the tasks.
_PATH = Key(
    "path",
    KeyType("a directory", {"type": ["string", "null"]}),
    "where the module is, if it is not installed",
    default="the manifest's directory",
    in_form=False,
)


class CustomSource(ParameterSource):
    """A sequence of the user's own: `len(it)` and `it[i]`, a dict of parameters.

    `reference` names it, or what makes it from `arguments`. *Raises* SourceError.
    """

    KIND = Kind(
        "a sequence of your own",
        (
            Key("reference", _REFERENCE, "the sequence, or what makes it from the arguments"),
            Key(
                "arguments",
                _ARGUMENTS,
                "what it is made from",
                default="the reference is the sequence itself",
            ),
            _PATH,
        ),
        form="custom",
        python="custom_source(reference, …)",
        example='{reference: "module:Class", arguments: {n: 3}}',
    )
    runs_user_code = True

    def __init__(
        self, reference: str, arguments: Mapping[str, Any] | None = None, path: str | None = None
    ) -> None:
        where = "reference"
        self._reference = reference
        given = None if arguments is None else ids.plain(arguments, where)
        self._arguments = given
        found, self._path = imported(reference, path, where)
        if given is not None:
            found = _called(lambda: found(**given), self._path, reference, where)
        self._cases: Sequence[Mapping[str, Any]] = found
        self._n_cases: int = _called(lambda: len(found), self._path, f"len of {reference}", where)
        if not self._n_cases:
            raise SourceError(f"{reference} has no cases", where=where, next_step="Make some.")
        self._names = frozenset(self._params(0))

    @property
    def n_cases(self) -> int:
        return self._n_cases

    @property
    def names(self) -> frozenset[str]:
        return self._names

    @classmethod
    def placed(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return _beside(value, root)

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "CustomSource",
            "reference": self._reference,
            "arguments": self._arguments,
            "path": self._path,
            "total_cases": self._n_cases,
        }

    def _params(self, index: int) -> dict[str, Any]:
        where = f"{self._reference}[{index}]"
        found = _called(lambda: self._cases[index], self._path, where, "reference")
        return _checked(found, where)


class DerivedSource(ParameterSource):
    """The params that a pure function makes of every case's.

    A case's id hashes the params before the function and its reference, so that it can be told
    from its position without the function. *Raises* SourceError.
    """

    KIND = Kind(
        "what a function makes of every case's params",
        (SOURCE, Key("derive", _REFERENCE, "the function, from params to params"), _PATH),
        form="derive",
        alone="derive",
        python='source.derive("module:function")',
        example="module:function",
    )
    runs_user_code = True

    def __init__(self, source: ParameterSource, function: str, path: str | None = None) -> None:
        self._source = source
        self._reference = function
        self._function, self._path = imported(function, path, "derive")
        if not callable(self._function):
            raise SourceError(
                f"{function} is not a function", where="derive", next_step="Name a function."
            )
        self._names = frozenset(self._params(0)) if source else source.names

    @property
    def n_cases(self) -> int:
        return self._source.n_cases

    @property
    def source(self) -> ParameterSource:
        """What the function is given."""
        return self._source

    @property
    def reference(self) -> str:
        """The function, as "module:function"."""
        return self._reference

    @property
    def names(self) -> frozenset[str]:
        """Those of the first case: a function may give every case others."""
        return self._names

    @property
    def is_derived(self) -> bool:
        return True

    def identity(self, index: int) -> dict[str, Any]:
        return {"derive": self._reference, "params": self._source.identity(index)}

    @property
    def replicates(self) -> int:
        return self._source.replicates

    @classmethod
    def from_keys(cls, **values: Any) -> Self:
        return cls(values["source"], values["derive"], values.get("path"))

    @classmethod
    def placed(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return _beside(value, root)

    def to_manifest_dict(self) -> dict[str, Any]:
        return self._described(self._source.to_manifest_dict())

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        return self._described(self._source.freeze(lines))

    def _described(self, inner: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "DerivedSource",
            "source": inner,
            "derive": self._reference,
            "path": self._path,
            "total_cases": self.n_cases,
        }

    def _case(self, index: int) -> ParamCase:
        case = self._source[index]
        params = self._derived(case.params, index)
        return ParamCase(
            index=index,
            params=params,
            case_id=ids.case_id(self.identity(index), case.replicate),
            tags=case.tags,
            replicate=case.replicate,
            written=_kept(case, params),
        )

    def _params(self, index: int) -> dict[str, Any]:
        return self._derived(self._source.params(index), index)

    def _tags(self, index: int) -> tuple[str, ...]:
        return self._source.tags(index)

    def _written(self, index: int) -> dict[str, str]:
        return self._case(index).written

    def _derived(self, params: dict[str, Any], index: int) -> dict[str, Any]:
        where = f"{self._reference} of case {index}"
        # A copy: the function may change what it is given.
        copy = ids.plain(params)
        found = _called(lambda: self._function(copy), self._path, where, "derive")
        return _checked(found, where)


def _kept(case: ParamCase, params: Mapping[str, Any]) -> dict[str, str]:
    """What a table wrote of the params that the user's function left as they were."""
    return {
        name: text
        for name, text in case.written.items()
        if name in params and ids.canonical(params[name]) == ids.canonical(case.params[name])
    }


def custom(reference: str, **arguments: Any) -> CustomDistribution:
    """A distribution of your own: `custom("shapes:Triangular", low=0, high=1)`.

    Without arguments the reference names the object itself.
    """
    return CustomDistribution(reference, arguments or None)


def custom_source(reference: str, **arguments: Any) -> CustomSource:
    """A source of your own: `custom_source("cases:Measured", site="north")`."""
    return CustomSource(reference, arguments or None)


def _beside(value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """A manifest dict whose module is looked for in `root`, unless it says where."""
    return {"path": str(root), **value}


def _checked(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise SourceError(
            f"a {type(found).__name__}, not a dict of parameters",
            where=where,
            next_step="Return a dict by parameter name.",
        )
    check_names(found, where)
    try:
        params: dict[str, Any] = ids.plain(found, where)
    except IdentityError as error:
        raise SourceError(error.what, where=error.where, next_step=error.next_step) from error
    return params
