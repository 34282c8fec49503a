"""Find the index of a case of an older manifest in a source, by the fastest available method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpcsweep.sources.base import ParameterSource

if TYPE_CHECKING:
    from hpcsweep.sources.overlap import Rule

# Largest count of cases that are iterated over, which takes minutes.
LOOKED_UP_MAX = 50_000_000


class CaseLocator:
    """Maps cases of other sources to indices of `source`."""

    def __init__(self, source: ParameterSource) -> None:
        self._source = source
        # By the name of the other source; None without a rule.
        self._rules: dict[str, Rule | None] = {}
        self._by_id: dict[str, int] | None = None

    def locate_index(self, name: str, old: ParameterSource, index: int) -> int | None:
        """The index of a case of `old`; None if it is gone. Each `old` has one name."""
        if name not in self._rules:
            # It loads every kind of source; most sweeps never change their manifest.
            from hpcsweep.sources.overlap import Lattice, Rule  # noqa: PLC0415

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
