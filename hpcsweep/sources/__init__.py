"""Parameter sources: immutable, lazy sequences of cases; and whatever makes them, by its name.

`registry` knows all kinds of sources and distributions, each describes its keys in a manifest
itself. What few sweeps use loads when it is first named: every array task imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpcsweep.sources.registry import DISTRIBUTIONS, SOURCES

if TYPE_CHECKING:
    from hpcsweep.sources.base import ParameterSource
    from hpcsweep.sources.branching import branches
    from hpcsweep.sources.compose import ConcatSource, ProductSource, ZipSource, zip_
    from hpcsweep.sources.continuous import (
        LogNormal,
        LogUniform,
        LogUniformInt,
        Normal,
        TruncatedNormal,
        lognormal,
        loguniform,
        loguniform_int,
        normal,
        truncnormal,
    )
    from hpcsweep.sources.derived import DerivedSource
    from hpcsweep.sources.designs import DesignSource, design
    from hpcsweep.sources.discrete import (
        Constant,
        QUniform,
        WeightedChoice,
        constant,
        quniform,
        weighted_choice,
    )
    from hpcsweep.sources.distributions import (
        Choice,
        Distribution,
        RandInt,
        Uniform,
        choice,
        randint,
        uniform,
    )
    from hpcsweep.sources.filecases import FileCases
    from hpcsweep.sources.fixed import FixedSource
    from hpcsweep.sources.grid_source import GridSource, grid
    from hpcsweep.sources.keys import RESERVED_NAMES
    from hpcsweep.sources.manual_source import ManualSource, manual
    from hpcsweep.sources.random_source import RandomSource, random
    from hpcsweep.sources.ranges import arange, linspace, logspace
    from hpcsweep.sources.registry import source_from_manifest_dict
    from hpcsweep.sources.replicate import ReplicatedSource
    from hpcsweep.sources.seedplan import SeedBundle, SeedPlan, seeds
    from hpcsweep.sources.tables import TableSource, table
    from hpcsweep.sources.user_defined import (
        CustomDistribution,
        CustomSource,
        custom,
        custom_source,
    )
    from hpcsweep.sources.views import ShuffleSource, SliceSource, TakeSource
    from hpcsweep.sources.where import WhereSource

__all__ = [
    "RESERVED_NAMES",
    "Choice",
    "ConcatSource",
    "Constant",
    "CustomDistribution",
    "CustomSource",
    "DerivedSource",
    "DesignSource",
    "Distribution",
    "FileCases",
    "FixedSource",
    "GridSource",
    "LogNormal",
    "LogUniform",
    "LogUniformInt",
    "ManualSource",
    "Normal",
    "ParameterSource",
    "ProductSource",
    "QUniform",
    "RandInt",
    "RandomSource",
    "ReplicatedSource",
    "SeedBundle",
    "SeedPlan",
    "ShuffleSource",
    "SliceSource",
    "TableSource",
    "TakeSource",
    "TruncatedNormal",
    "Uniform",
    "WeightedChoice",
    "WhereSource",
    "ZipSource",
    "arange",
    "branches",
    "choice",
    "constant",
    "custom",
    "custom_source",
    "design",
    "grid",
    "linspace",
    "lognormal",
    "logspace",
    "loguniform",
    "loguniform_int",
    "manual",
    "normal",
    "quniform",
    "randint",
    "random",
    "seeds",
    "source_from_manifest_dict",
    "table",
    "truncnormal",
    "uniform",
    "weighted_choice",
    "zip_",
]

# By module: public names besides the kinds of the registry.
_NAMES = {
    "base": "ParameterSource",
    "branching": "branches",
    "compose": "zip_",
    "continuous": "lognormal loguniform loguniform_int normal truncnormal",
    "designs": "design",
    "discrete": "constant quniform weighted_choice",
    "distributions": "Distribution choice randint uniform",
    "filecases": "FileCases",
    "grid_source": "grid",
    "keys": "RESERVED_NAMES",
    "manual_source": "manual",
    "random_source": "random",
    "ranges": "arange linspace logspace",
    "registry": "source_from_manifest_dict",
    "seedplan": "SeedBundle SeedPlan seeds",
    "tables": "table",
    "user_defined": "custom custom_source",
}
_HOMES = {
    **SOURCES,
    **DISTRIBUTIONS,
    **{name: f"{__name__}.{home}" for home, names in _NAMES.items() for name in names.split()},
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker would take it for "any name will do"

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value  # the next use finds it without coming here
        return value
