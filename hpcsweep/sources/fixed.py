"""Constant parameters, added to every case of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import Factor, ParameterSource
from hpcsweep.sources.keys import PARAMS, Key, Kind, check_names, fresh
from hpcsweep.sources.registry import SOURCE
from hpcsweep.sources.views import SourceView

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


class FixedSource(SourceView):
    """The cases of a source, each with the same further parameters. *Raises* SourceError."""

    KIND = Kind(
        "the same further parameters in every case",
        (SOURCE, Key("params", PARAMS, "the parameters to add")),
        form="fixed",
        alone="params",
        python="source.with_params(x=1)",
        example="{x: 1}",
    )

    def __init__(self, source: ParameterSource, params: Mapping[str, Any]) -> None:
        super().__init__(source)
        if not isinstance(params, Mapping) or not params:
            raise SourceError(
                f"{ids.shown(params)} is not a mapping of names to values",
                where="fixed",
                next_step="Give at least one parameter.",
            )
        check_names(params, "fixed")
        clash = next((name for name in ids.in_order(params) if name in source.names), None)
        if clash is not None:
            raise SourceError(
                f"the source has the parameter {clash!r} already",
                where="fixed",
                next_step="Leave it out in one of the two places.",
            )
        self._fixed: dict[str, Any] = {
            name: ids.plain(params[name], ids.member("fixed", name))
            for name in ids.in_order(params)
        }

    @property
    def n_cases(self) -> int:
        return self._source.n_cases

    @property
    def names(self) -> frozenset[str]:
        return self._source.names.union(self._fixed)

    @property
    def factors(self) -> list[Factor]:
        return [*self._source.factors, Factor(1, frozenset(self._fixed), lambda _: self._fixed)]

    @property
    def fixed(self) -> dict[str, Any]:
        """The further parameters."""
        return dict(self._fixed)

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        fixed = {name: params[name] for name in self._fixed if name in params}
        if ids.canonical(fixed) != ids.canonical(self._fixed):
            return iter(())
        rest = {name: value for name, value in params.items() if name not in self._fixed}
        return self._source.find_all(rest, replicate)

    def _rule(self) -> dict[str, Any]:
        return {"params": fresh(self._fixed)}

    def _source_index(self, index: int) -> int:
        return index

    def _view_index(self, index: int) -> int | None:
        return index

    def _case(self, index: int) -> ParamCase:
        case = self._source[index]
        params = self._params(index)
        return ParamCase(
            index=index,
            params=params,
            case_id=ids.case_id(self.identity_of(index, params), case.replicate),
            tags=case.tags,
            replicate=case.replicate,
            written=case.written,
            carried=case.carried,
        )

    @property
    def key(self) -> frozenset[str] | None:
        inner = self._source.key
        return None if inner is None else inner.union(self._fixed)

    def identity(self, index: int) -> dict[str, Any]:
        inner = self._source.identity(index)
        return (
            {"fixed": fresh(self._fixed), "params": inner}
            if self.is_derived
            else inner | self._fixed
        )

    def _params(self, index: int) -> dict[str, Any]:
        params: dict[str, Any] = fresh(self._fixed)
        return self._source.params(index) | params

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        fixed = {
            name: columns.repeat_value(value, stop - start) for name, value in self._fixed.items()
        }
        return self._source.columns(start, stop) | fixed
