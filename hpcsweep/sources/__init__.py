"""Parameter sources: immutable, lazy sequences of cases.

What few sweeps use loads when it is first named: every array task imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpcsweep.sources.base import RESERVED_NAMES, ParameterSource
from hpcsweep.sources.reading import source_from_manifest_dict
from hpcsweep.sources.replicate import ReplicatedSource, replicated

if TYPE_CHECKING:
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
    from hpcsweep.sources.grid_source import GridSource, grid
    from hpcsweep.sources.imported import (
        CustomDistribution,
        CustomSource,
        DerivedSource,
        custom,
        custom_source,
    )
    from hpcsweep.sources.manual_source import FileCases, ManualSource, manual
    from hpcsweep.sources.random_source import RandomSource, random
    from hpcsweep.sources.ranges import arange, linspace, logspace
    from hpcsweep.sources.seedplan import SeedBundle, SeedPlan, seeds
    from hpcsweep.sources.tables import TableSource, table
    from hpcsweep.sources.views import FixedSource, ShuffleSource, SliceSource, TakeSource

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
    "ZipSource",
    "arange",
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
    "replicated",
    "seeds",
    "source_from_manifest_dict",
    "table",
    "truncnormal",
    "uniform",
    "weighted_choice",
    "zip_",
]

# Of every name that is not imported above, its module.
_HOMES = {
    **dict.fromkeys(("ConcatSource", "ProductSource", "ZipSource", "zip_"), "compose"),
    **dict.fromkeys(
        ("LogNormal", "LogUniform", "LogUniformInt", "Normal", "TruncatedNormal", "lognormal",
         "loguniform", "loguniform_int", "normal", "truncnormal"),
        "continuous",
    ),
    **dict.fromkeys(
        ("Constant", "QUniform", "WeightedChoice", "constant", "quniform", "weighted_choice"),
        "discrete",
    ),
    **dict.fromkeys(("DesignSource", "design"), "designs"),
    **dict.fromkeys(
        ("Choice", "Distribution", "RandInt", "Uniform", "choice", "randint", "uniform"),
        "distributions",
    ),
    **dict.fromkeys(("GridSource", "grid"), "grid_source"),
    **dict.fromkeys(("FileCases", "ManualSource", "manual"), "manual_source"),
    **dict.fromkeys(("RandomSource", "random"), "random_source"),
    **dict.fromkeys(
        ("CustomDistribution", "CustomSource", "DerivedSource", "custom", "custom_source"),
        "imported",
    ),
    **dict.fromkeys(("SeedBundle", "SeedPlan", "seeds"), "seedplan"),
    **dict.fromkeys(("TableSource", "table"), "tables"),
    **dict.fromkeys(("arange", "linspace", "logspace"), "ranges"),
    **dict.fromkeys(("FixedSource", "ShuffleSource", "SliceSource", "TakeSource"), "views"),
}  # fmt: skip


if not TYPE_CHECKING:  # a type checker would take it for "any name will do"

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # the next use finds it without coming here
        return value
