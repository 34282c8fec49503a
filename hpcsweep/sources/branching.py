"""Branches: groups of cases with parameters of their own, named by one parameter."""

from __future__ import annotations

from collections.abc import Mapping

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.compose import ConcatSource
from hpcsweep.sources.fixed import FixedSource


def branches(name: str, of: Mapping[str, ParameterSource]) -> ConcatSource:
    """The cases of each branch, one branch after another; `name` tells which.

    `branches("model", {"svm": grid(C=[1, 10]), "forest": grid(depth=[3, 5, 7])})` has 5 cases; a
    case has the parameters of its own branch alone. *Raises* SourceError.

    Examples:
        >>> models = hs.branches("model", {"svm": hs.grid(C=[1, 10]), "mean": hs.grid()})
        >>> models[2].params
        {'model': 'mean'}
    """
    if not isinstance(of, Mapping) or not of:
        raise SourceError(
            f"{ids.shown(of)} is not a mapping of branches to sources",
            where="branches",
            next_step="Give at least one branch.",
        )
    return ConcatSource([FixedSource(source, {name: branch}) for branch, source in of.items()])
