"""The index that a source has for a case of an older manifest, by the fastest way there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.overlap import Lattice, Rule

# Cases that are gone through one by one: minutes.
LOOKED_UP_MAX = 50_000_000


class CaseLocator:
    """The indices that `source` has for cases of other sources."""

    def __init__(self, source: ParameterSource) -> None:
        self._source = source
        # By the name of the other source; None where there is none.
        self._rules: dict[str, Rule | None] = {}
        self._by_id: dict[str, int] | None = None

    def locate_index(self, name: str, old: ParameterSource, index: int) -> int | None:
        """The index here of a case of `old`, whose name is always the same; None if it is gone."""
        if name not in self._rules:
            self._rules[name] = Rule.of(Lattice.of(old), Lattice.of(self._source))
        rule = self._rules[name]
        if rule is not None:
            return rule.place(index)
        case = old[index]
        return self.locate_case(case.case_id, case.params, case.replicate, index)

    def locate_case(
        self, case_id: str, params: Mapping[str, Any], replicate: int, hint: int = -1
    ) -> int | None:
        """The index of a case, which may be at `hint`; None where the source lacks it.

        None, too, where nothing but more than `LOOKED_UP_MAX` cases would tell: the case is then
        taken for one that was not computed.
        """
        source = self._source
        if source.can_find:
            return source.find(params, replicate)
        # A source that grew at its end.
        if 0 <= hint < source.n_cases and source[hint].case_id == case_id:
            return hint
        if self._by_id is None:  # a stream of ids, once
            cases = source if source.n_cases <= LOOKED_UP_MAX else ()
            self._by_id = {case.case_id: case.index for case in cases}
        return self._by_id.get(case_id)
