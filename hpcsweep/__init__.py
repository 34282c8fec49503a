"""Parameter sweeps as Slurm job arrays: one manifest in, one table out, no result lost.

The public names load when they are first used: every array task imports this package, and a
task needs few of them (DESIGN invariant 17).
"""

from __future__ import annotations

# As in `program`: what is imported here may be hidden by a file of the user's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hpcsweep import sources
    from hpcsweep.cache import Base, Mapped, Store, expand_grid, mapped_column
    from hpcsweep.errors import (
        CallFailed,
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
        Preempted,
        ResultMissing,
        RunExists,
        RunMissing,
        SourceError,
        StoreError,
        SweepBusy,
        SweepError,
        TargetError,
    )
    from hpcsweep.executor.executor import Executor
    from hpcsweep.logbook import Logbook
    from hpcsweep.logbook.experiment.reader import ExperimentReader
    from hpcsweep.logbook.experiment.writer import Experiment
    from hpcsweep.logbook.reader import LogReader
    from hpcsweep.manifest.validated import Validated
    from hpcsweep.opening import OtherResults, open  # noqa: A004
    from hpcsweep.optimizing import Optimum, optimize, to_optuna
    from hpcsweep.project.cleaning import Removable
    from hpcsweep.records import ParamCase, Status
    from hpcsweep.runs.check import FileCheck
    from hpcsweep.runs.files import CaseFile
    from hpcsweep.runs.logs import CaseLogs
    from hpcsweep.several_sweeps import collect
    from hpcsweep.sources import (
        Choice,
        Constant,
        CustomDistribution,
        CustomSource,
        DesignSource,
        Distribution,
        GridSource,
        LogNormal,
        LogUniform,
        LogUniformInt,
        ManualSource,
        Normal,
        ParameterSource,
        QUniform,
        RandInt,
        RandomSource,
        SeedBundle,
        SeedPlan,
        TableSource,
        TruncatedNormal,
        Uniform,
        WeightedChoice,
        arange,
        branches,
        choice,
        constant,
        custom,
        custom_source,
        design,
        grid,
        linspace,
        lognormal,
        logspace,
        loguniform,
        loguniform_int,
        manual,
        normal,
        quniform,
        randint,
        random,
        seeds,
        source_from_manifest_dict,
        table,
        truncnormal,
        uniform,
        weighted_choice,
        zip_,
    )
    from hpcsweep.state.efficiency import Efficiency
    from hpcsweep.state.log_following import LogPiece
    from hpcsweep.state.overview import Overview
    from hpcsweep.state.summary import Summary
    from hpcsweep.submission.cancelled import Cancelled
    from hpcsweep.submission.doctor import Finding
    from hpcsweep.submission.local_run import LocalRun
    from hpcsweep.submission.planning import Planned
    from hpcsweep.submission.request import Submitted
    from hpcsweep.sweep import Sweep
    from hpcsweep.sweep.whole import list_sweeps
    from hpcsweep.tables.compare import SweepComparison
    from hpcsweep.tables.sweep_figure import Figure

__version__ = "0.1.0"

__all__ = [
    "Base",
    "CallFailed",
    "Cancelled",
    "CaseFile",
    "CaseLogs",
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
    "Efficiency",
    "Executor",
    "Experiment",
    "ExperimentReader",
    "ExtraMissing",
    "Figure",
    "FileCheck",
    "Finding",
    "GridSource",
    "HpcsweepError",
    "IdentityError",
    "Incomplete",
    "InputError",
    "JournalError",
    "LocalRun",
    "LogNormal",
    "LogPiece",
    "LogReader",
    "LogUniform",
    "LogUniformInt",
    "Logbook",
    "ManifestError",
    "ManualSource",
    "Mapped",
    "Normal",
    "Optimum",
    "OtherResults",
    "Overview",
    "ParamCase",
    "ParameterSource",
    "PartRefused",
    "Planned",
    "Preempted",
    "QUniform",
    "RandInt",
    "RandomSource",
    "Removable",
    "ResultMissing",
    "RunExists",
    "RunMissing",
    "SeedBundle",
    "SeedPlan",
    "SourceError",
    "Status",
    "Store",
    "StoreError",
    "Submitted",
    "Summary",
    "Sweep",
    "SweepBusy",
    "SweepComparison",
    "SweepError",
    "TableSource",
    "TargetError",
    "TruncatedNormal",
    "Uniform",
    "Validated",
    "WeightedChoice",
    "__version__",
    "arange",
    "branches",
    "choice",
    "collect",
    "constant",
    "custom",
    "custom_source",
    "design",
    "expand_grid",
    "grid",
    "linspace",
    "list_sweeps",
    "lognormal",
    "logspace",
    "loguniform",
    "loguniform_int",
    "manual",
    "mapped_column",
    "normal",
    "open",
    "optimize",
    "quniform",
    "randint",
    "random",
    "seeds",
    "source_from_manifest_dict",
    "sources",
    "table",
    "to_optuna",
    "truncnormal",
    "uniform",
    "weighted_choice",
    "zip_",
]

_HOMES = {
    "Base": "hpcsweep.cache",
    "Cancelled": "hpcsweep.submission.cancelled",
    "CaseFile": "hpcsweep.runs.files",
    "CaseLogs": "hpcsweep.runs.logs",
    "Efficiency": "hpcsweep.state.efficiency",
    "Executor": "hpcsweep.executor.executor",
    "Experiment": "hpcsweep.logbook.experiment.writer",
    "ExperimentReader": "hpcsweep.logbook.experiment.reader",
    "Figure": "hpcsweep.tables.sweep_figure",
    "FileCheck": "hpcsweep.runs.check",
    "Finding": "hpcsweep.submission.doctor",
    "LocalRun": "hpcsweep.submission.local_run",
    "LogPiece": "hpcsweep.state.log_following",
    "LogReader": "hpcsweep.logbook.reader",
    "Logbook": "hpcsweep.logbook",
    "Mapped": "hpcsweep.cache",
    "Optimum": "hpcsweep.optimizing",
    "OtherResults": "hpcsweep.opening",
    "Overview": "hpcsweep.state.overview",
    "ParamCase": "hpcsweep.records",
    "Planned": "hpcsweep.submission.planning",
    "Removable": "hpcsweep.project.cleaning",
    "Status": "hpcsweep.records",
    "Store": "hpcsweep.cache",
    "Submitted": "hpcsweep.submission.request",
    "Summary": "hpcsweep.state.summary",
    "Sweep": "hpcsweep.sweep",
    "SweepComparison": "hpcsweep.tables.compare",
    "Validated": "hpcsweep.manifest.validated",
    "collect": "hpcsweep.several_sweeps",
    "expand_grid": "hpcsweep.cache",
    "list_sweeps": "hpcsweep.sweep.whole",
    "mapped_column": "hpcsweep.cache",
    "open": "hpcsweep.opening",
    "optimize": "hpcsweep.optimizing",
    "to_optuna": "hpcsweep.optimizing",
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker would take it for "any name will do"

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  # only for those who use a name

        if name == "sources":
            value = import_module("hpcsweep.sources")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:  # an error, or one of the makers and kinds of sources
            errors = import_module("hpcsweep.errors")
            home = errors if hasattr(errors, name) else import_module("hpcsweep.sources")
            value = getattr(home, name)
        globals()[name] = value  # the next use finds it without coming here
        return value
