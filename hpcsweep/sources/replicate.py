"""Replicates: every case of a source several times, each time with its own seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import Factor, ParameterSource, WrappedSource
from hpcsweep.sources.keys import COUNT, Key, Kind, fresh, whole_number
from hpcsweep.sources.registry import SOURCE

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


class ReplicatedSource(WrappedSource):
    """Each case of `source` `replicates` times; the replicate varies fastest.

    *Raises* SourceError.
    """

    KIND = Kind(
        "each case several times, with a seed for each replicate",
        (SOURCE, Key("replicates", COUNT, "the number of replicates of each case")),
        python="source.repeat(n)",
    )

    def __init__(self, source: ParameterSource, replicates: int) -> None:
        if source.replicates > 1:
            raise SourceError(
                "the source has replicates already",
                where="replicates",
                next_step="Repeat it once, by the product of both counts.",
            )
        super().__init__(source)
        self._replicates = whole_number(replicates, "replicates", at_least=1)

    @property
    def n_cases(self) -> int:
        return self._source.n_cases * self._replicates

    @property
    def factors(self) -> list[Factor]:
        return [*self._source.factors, Factor(self._replicates, frozenset(), lambda _: {})]

    @property
    def replicates(self) -> int:
        return self._replicates

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        if 0 <= replicate < self._replicates:
            for index in self._source.find_all(params, 0):
                yield index * self._replicates + replicate

    def __iter__(self) -> Iterator[ParamCase]:
        # Iterate over the inner source: a source of cases in a file then reads it sequentially.
        for case in self._source:
            for replicate in range(self._replicates):
                yield self._replica(case, replicate)

    def _case(self, index: int) -> ParamCase:
        inner, replicate = divmod(index, self._replicates)
        return self._replica(self._source[inner], replicate)

    def _source_index(self, index: int) -> int:
        return index // self._replicates

    def _rule(self) -> dict[str, Any]:
        return {"replicates": self._replicates}

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        first = start // self._replicates
        inner = self._source.columns(first, -(-stop // self._replicates))
        skip = start - first * self._replicates
        return columns.rows(inner, columns.count_from(skip, stop - start) // self._replicates)

    def _replica(self, case: ParamCase, replicate: int) -> ParamCase:
        case_id = case.case_id
        if replicate:
            identity = self._source.identity_of(case.index, case.params)
            case_id = ids.case_id(identity, replicate)
        return ParamCase(
            index=case.index * self._replicates + replicate,
            params=fresh(case.params),
            case_id=case_id,
            tags=case.tags,
            replicate=replicate,
            written=case.written,
            carried=case.carried,
        )
