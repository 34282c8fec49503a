"""Searches in the Python door: `optimize` runs one to its end, `to_optuna` makes a study of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpcsweep.errors import Incomplete, InputError
from hpcsweep.foreign.optuna_studies import rule_of
from hpcsweep.manifest.from_python import target_text
from hpcsweep.manifest.generated_files import GeneratedFiles, write_generated
from hpcsweep.manifest.policies import MINIMIZE, Search
from hpcsweep.notify import Notify, print_notice
from hpcsweep.search.export import add_trials, open_study, space_of
from hpcsweep.search.study import import_optuna
from hpcsweep.search.versions import search_of, trial_params
from hpcsweep.settings import Settings
from hpcsweep.sources import Distribution
from hpcsweep.state.outlook import outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweep import Sweep
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimum:
    """The best trial of a search.

    Examples:
        >>> best = hs.Optimum(objective="y", value=0.5, params={"omega": 1.0}, case=0, trials=4)
        >>> best.to_json()["params"]
        {'omega': 1.0}
    """

    objective: str
    value: float
    params: dict[str, Any]
    # The index of its case in the sweep.
    case: int
    # Count of trials that are over.
    trials: int

    def to_json(self) -> dict[str, Any]:
        """The optimum as a plain dict.

        Examples:
            >>> best = hs.Optimum(objective="y", value=0.5, params={"omega": 1.0}, case=0, trials=4)
            >>> best.to_json()["value"]
            0.5
        """
        return asdict(self)


def optimize(
    name: str,
    space: Mapping[str, Any],
    *,
    objective: str,
    n: int,
    batch: int = 16,
    direction: str = MINIMIZE,
    sampler: Any = "tpe",
    halving: Mapping[str, Any] | None = None,
    progress: bool = False,
    notify: Notify | None = print_notice,
    **keys: Any,
) -> Optimum:
    """Search the best parameters of a target, in batches on a cluster, and wait for the end.

    `space` has a distribution of hpcsweep or of Optuna, or a single value, for each parameter;
    `sampler` is a name, a mapping with options, or a function or class that is given a seed.
    `halving` runs each configuration with a small budget first, and the best again with larger
    ones: `{"resource": "epochs", "min": 1, "max": 81, "factor": 3}`. The other `keys` are those of
    `Sweep`. *Safe to repeat*: a search of this name goes on.
    *Raises* the errors of `errors`; Incomplete if no trial has a value.

    Examples:
        >>> best = hs.optimize(
        ...     "tuned",
        ...     {"omega": hs.uniform(1, 8), "dt": 0.01},
        ...     objective="energy",
        ...     n=4,
        ...     batch=2,
        ...     target="model.py:simulate",
        ...     cluster="emulated",
        ...     notify=None,
        ... )
        >>> best.trials, best.value == best.params["omega"] ** 2 / 2
        (4, True)
    """
    search = {"objective": objective, "n": n, "batch": batch, "direction": direction}
    search |= {} if halving is None else {"halving": dict(halving)}
    sweep = described(name, space, search, sampler, **keys)
    run_search(sweep, progress=progress, notify=notify)
    return _optimum(sweep)


def described(
    name: str, space: Mapping[str, Any], search: Mapping[str, Any], sampler: Any, **keys: Any
) -> Sweep:
    """The sweep of a search; arguments as of `optimize`."""
    rules = {parameter: _rule(value) for parameter, value in space.items()}
    made = _sampler(sampler, Path(keys.get("root", ".")), name)
    return Sweep(name, {"space": rules}, search={**search, "sampler": made}, **keys)


def run_search(
    sweep: Sweep, *, progress: bool = False, notify: Notify | None = print_notice
) -> None:
    """Submit a search and wait for its end. *Raises* Incomplete if trials are left."""
    sweep.submit(notify=notify)
    try:
        sweep.wait(progress=progress, notify=notify)
    except Incomplete:  # a failed trial is a result of a search
        found = sweep.status().search
        if found is None or found.over < found.n or found.best is None:
            raise


def to_optuna(
    sweep: Sweep | str | Path,
    storage: Any,
    *,
    objective: str | None = None,
    direction: str | None = None,
    study_name: str | None = None,
) -> Any:
    """Make an Optuna study of a sweep, for optuna-dashboard and Optuna's plots. Returns it.

    `storage` is a URL (`sqlite:///study.db`), the path of a file for Optuna's JournalStorage, or a
    storage of Optuna. `objective` and `direction` are those of the manifest's search; of a sweep
    without one the objective has to be named. Trials are added when they are over.
    *Safe to repeat*: what is there stays as it is. *Raises* ExtraMissing, InputError.

    Examples:
        >>> study = hs.to_optuna(sweep, "sqlite:///study.db", objective="energy")
        >>> study.best_value
        0.5
    """
    optuna = import_optuna("a study")
    opened = sweep if isinstance(sweep, Sweep) else Sweep(str(sweep))
    directory = SweepDirectory.open(opened.path)
    version = directory.newest()
    search = search_of(version.manifest)
    if search is None or objective not in (None, search.objective):
        search = _search_for(opened.name, objective, trial_params(version), direction or MINIMIZE)
    wanted = direction or search.direction
    study = open_study(optuna, storage, study_name or opened.name, wanted)
    with fresh_index(directory) as sweep_index:
        tasks = poll(directory, sweep_index, None, Settings())
        outlook = outlook_of(directory, sweep_index, tasks, version)
        add_trials(optuna, study, search, outlook, sweep_index)
    return study


def _search_for(
    name: str, objective: str | None, cases: list[dict[str, Any]], direction: str
) -> Search:
    """What a sweep without a search would have searched. *Raises* InputError."""
    if objective is None:
        raise InputError(
            "a sweep without a search has no objective",
            where=name,
            next_step="Name a metric: to_optuna(sweep, storage, objective='energy').",
        )
    count = len(cases)
    space = space_of(cases)
    return Search(objective=objective, space=space, n=count, batch=count, direction=direction)


def _optimum(sweep: Sweep) -> Optimum:
    """The best trial so far. *Raises* Incomplete if there is none."""
    found = sweep.status().search
    if found is None or found.best is None or found.best_case is None:
        raise Incomplete(
            f"no trial has a value: {found.line if found else 'there is no search'}",
            where=str(sweep.path),
            next_step="`hpcsweep status` says what became of them.",
        )
    return Optimum(
        objective=found.objective,
        value=found.best,
        params=dict(sweep.case(found.best_case).params),
        case=found.best_case,
        trials=found.over,
    )


def _rule(value: Any) -> Any:
    """The manifest dict of a distribution of hpcsweep or of Optuna; other values as they are."""
    if isinstance(value, Distribution):
        return value.to_manifest_dict()
    if type(value).__module__.startswith("optuna."):
        optuna = import_optuna("a distribution of Optuna")
        rule = rule_of(json.loads(optuna.distributions.distribution_to_json(value)))
        if rule is None:
            raise InputError(
                f"there is no such distribution: {value}",
                where="space",
                next_step="Use hs.uniform, hs.loguniform, hs.randint or hs.choice.",
            )
        return rule
    return value


def _sampler(sampler: Any, root: Path, name: str) -> Any:
    """The sampler as a manifest names it. *Raises* InputError for an object."""
    if isinstance(sampler, (str, Mapping)):
        return sampler
    if not callable(sampler):
        raise InputError(
            f"{sampler!r} is an object of this process, and each batch needs a new one",
            where="sampler",
            next_step="Name it with its options: sampler={'name': 'tpe', 'multivariate': True}; "
            "or give a class, or a function that takes a seed.",
        )
    generated: GeneratedFiles = {}
    text = target_text(sampler, root, name, generated)
    write_generated(root, generated)
    return text
