"""Derive the params of every case by a function of the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import ParameterSource, WrappedSource
from hpcsweep.sources.keys import Key, Kind
from hpcsweep.sources.references import (
    PATH,
    REFERENCE,
    call_user_code,
    checked_params,
    import_reference,
    resolve_module,
)
from hpcsweep.sources.registry import SOURCE

if TYPE_CHECKING:
    from typing_extensions import Self


class DerivedSource(WrappedSource):
    """The params that a pure function makes of every case's.

    A case's id hashes the params before the function and its reference, so that it
    follows from its position without calling the function. *Raises* SourceError.
    """

    KIND = Kind(
        "the parameters that a function computes from those of each case",
        (
            SOURCE,
            Key(
                "derive",
                REFERENCE,
                "the function: it takes the params of a case and returns new ones",
            ),
            PATH,
        ),
        form="derive",
        alone="derive",
        python='source.derive("module:function")',
        example="module:function",
    )
    runs_user_code = True

    def __init__(self, source: ParameterSource, function: str, path: str | None = None) -> None:
        super().__init__(source)
        self._reference = function
        self._function, self._path = import_reference(function, path, "derive")
        if not callable(self._function):
            raise SourceError(
                f"{function} is not a function", where="derive", next_step="Name a function."
            )
        self._names = frozenset(self._params(0)) if source else source.names

    @property
    def n_cases(self) -> int:
        return self._source.n_cases

    @property
    def reference(self) -> str:
        """The function, as "module:function"."""
        return self._reference

    @property
    def names(self) -> frozenset[str]:
        """Those of the first case: a function may give every case others."""
        return self._names

    @property
    def can_find(self) -> bool:
        return False

    @property
    def is_derived(self) -> bool:
        return True

    @property
    def key(self) -> frozenset[str] | None:
        # What a function computes may change with the cells outside of a key.
        return None if self._source.key is None else frozenset()

    def identity(self, index: int) -> dict[str, Any]:
        return {"derive": self._reference, "params": self._source.identity(index)}

    @classmethod
    def from_keys(cls, **values: Any) -> Self:
        return cls(values["source"], values["derive"], values.get("path"))

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return resolve_module(value, root)

    def _source_index(self, index: int) -> int:
        return index

    def _rule(self) -> dict[str, Any]:
        return {"derive": self._reference, "path": self._path}

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
            carried=case.carried,
        )

    def _params(self, index: int) -> dict[str, Any]:
        return self._derived(self._source.params(index), index)

    def _written(self, index: int) -> dict[str, str]:
        return self._case(index).written

    def _derived(self, params: dict[str, Any], index: int) -> dict[str, Any]:
        where = f"{self._reference} of case {index}"
        # A copy: the function may change its argument.
        copy = ids.plain(params)
        result = call_user_code(lambda: self._function(copy), self._path, where, "derive")
        return checked_params(result, where)


def _kept(case: ParamCase, params: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a table for the params that the user's function did not change."""
    return {
        name: text
        for name, text in case.written.items()
        if name in params and ids.canonical(params[name]) == ids.canonical(case.params[name])
    }
