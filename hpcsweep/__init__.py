"""Parameter sweeps as Slurm job arrays: one manifest in, one table out, no result lost.

The public names load when they are first used: every array task imports this package, and a
task needs few of them (DESIGN invariant 17).
"""

from __future__ import annotations

# As in `program`: what is imported here may be hidden by a file of the user's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hpcsweep.cache import Base, Mapped, Store, expand_grid, mapped_column
    from hpcsweep.errors import (
        CasesFailed,
        ClusterError,
        ClusterUnavailable,
        Damaged,
        ExtraMissing,
        HpcsweepError,
        IdentityError,
        Incomplete,
        InputError,
        JournalError,
        ManifestError,
        PartRefused,
        ResultMissing,
        RunExists,
        RunMissing,
        SourceError,
        StoreError,
        SweepBusy,
        SweepError,
        TargetError,
    )
    from hpcsweep.logbook.experiment.reader import ExperimentReader
    from hpcsweep.logbook.experiment.writer import Experiment
    from hpcsweep.logbook.logbook import Logbook
    from hpcsweep.logbook.reader import LogReader
    from hpcsweep.records import ParamCase

    # From where they are defined: in their package some of these functions hide a module.
    from hpcsweep.sources.base import ParameterSource
    from hpcsweep.sources.compose import zip_
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
    from hpcsweep.sources.imported import CustomDistribution, CustomSource, custom, custom_source
    from hpcsweep.sources.manual_source import ManualSource, manual
    from hpcsweep.sources.random_source import RandomSource, random
    from hpcsweep.sources.ranges import arange, linspace, logspace
    from hpcsweep.sources.registry import source_from_manifest_dict
    from hpcsweep.sources.seedplan import SeedBundle, SeedPlan, seeds
    from hpcsweep.sources.tables import TableSource, table
    from hpcsweep.state.status import Summary
    from hpcsweep.sweep import Sweep

    __version__: str

__all__ = [
    "Base",
    "CasesFailed",
    "Choice",
    "ClusterError",
    "ClusterUnavailable",
    "Constant",
    "CustomDistribution",
    "CustomSource",
    "Damaged",
    "DesignSource",
    "Distribution",
    "Experiment",
    "ExperimentReader",
    "ExtraMissing",
    "GridSource",
    "HpcsweepError",
    "IdentityError",
    "Incomplete",
    "InputError",
    "JournalError",
    "LogNormal",
    "LogReader",
    "LogUniform",
    "LogUniformInt",
    "Logbook",
    "ManifestError",
    "ManualSource",
    "Mapped",
    "Normal",
    "ParamCase",
    "ParameterSource",
    "PartRefused",
    "QUniform",
    "RandInt",
    "RandomSource",
    "ResultMissing",
    "RunExists",
    "RunMissing",
    "SeedBundle",
    "SeedPlan",
    "SourceError",
    "Store",
    "StoreError",
    "Summary",
    "Sweep",
    "SweepBusy",
    "SweepError",
    "TableSource",
    "TargetError",
    "TruncatedNormal",
    "Uniform",
    "WeightedChoice",
    "__version__",
    "arange",
    "choice",
    "constant",
    "custom",
    "custom_source",
    "design",
    "expand_grid",
    "grid",
    "linspace",
    "lognormal",
    "logspace",
    "loguniform",
    "loguniform_int",
    "manual",
    "mapped_column",
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

# Every other public name is an error.
_HOMES = {
    **dict.fromkeys(("Base", "Mapped", "Store", "expand_grid", "mapped_column"), "hpcsweep.cache"),
    "Experiment": "hpcsweep.logbook.experiment.writer",
    "ExperimentReader": "hpcsweep.logbook.experiment.reader",
    "LogReader": "hpcsweep.logbook.reader",
    "Logbook": "hpcsweep.logbook",
    "ParamCase": "hpcsweep.records",
    "Summary": "hpcsweep.state.status",
    "Sweep": "hpcsweep.sweep",
    **dict.fromkeys(
        ("Choice", "Constant", "CustomDistribution", "CustomSource", "DesignSource",
         "Distribution", "GridSource", "LogNormal", "LogUniform", "LogUniformInt", "ManualSource",
         "Normal", "ParameterSource", "QUniform", "RandInt", "RandomSource", "SeedBundle",
         "SeedPlan", "TableSource", "TruncatedNormal", "Uniform", "WeightedChoice", "arange",
         "choice", "constant", "custom", "custom_source", "design", "grid", "linspace",
         "lognormal", "logspace", "loguniform", "loguniform_int", "manual", "normal", "quniform",
         "randint", "random", "seeds", "source_from_manifest_dict", "table", "truncnormal",
         "uniform", "weighted_choice", "zip_"),
        "hpcsweep.sources",
    ),
}  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker would take it for "any name will do"

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415  # loads a parser of e-mail

            value = version(__name__)
        else:
            from importlib import import_module  # noqa: PLC0415  # only for those who use a name

            value = getattr(import_module(_HOMES.get(name, "hpcsweep.errors")), name)
        globals()[name] = value  # the next use finds it without coming here
        return value
