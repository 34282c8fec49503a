"""The trials of a sweep as a study of Optuna in a storage, for its dashboard and its plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from hpcsweep import ids
from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import with_floats
from hpcsweep.manifest.policies import Search
from hpcsweep.redact import redact
from hpcsweep.search.distributions import optuna_distributions
from hpcsweep.search.halving import may_be_promoted
from hpcsweep.search.study import optuna_trial, quiet, studied
from hpcsweep.search.versions import trial_params
from hpcsweep.state.moments import epoch_s
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.trials import trial_values
from hpcsweep.store import SweepIndex

# The attribute of a trial with the index of its case.
CASE = "hpcsweep case"
_OTHER = "Name another study (study_name=…), or another storage."


def open_study(optuna: Any, storage: Any, name: str, direction: str) -> Any:
    """A study in a storage, which may be there already. *Raises* InputError.

    `storage` is a URL, the path of a file of Optuna's JournalStorage, or a storage of Optuna.
    """
    where = redact(str(storage))
    try:
        if isinstance(storage, str) and "://" not in storage:
            backend = optuna.storages.journal.JournalFileBackend(storage)
            storage = optuna.storages.JournalStorage(backend)
        with quiet(optuna):
            study = optuna.create_study(
                storage=storage, study_name=name, direction=direction, load_if_exists=True
            )
            is_same = study.direction.name.lower() == direction
    # What Optuna hands on from its backends.
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"cannot be used as an Optuna storage: {redact(str(error)).partition(chr(10))[0]}",
            where=where,
            next_step="Give a URL like sqlite:///study.db, or the path of a file.",
        ) from error
    if not is_same:
        raise InputError(f"{name!r} does not {direction}", where=where, next_step=_OTHER)
    return study


def add_trials(
    optuna: Any, study: Any, search: Search, outlook: Outlook, sweep_index: SweepIndex
) -> None:
    """Add the trials that are over, and that the study does not have. *Safe to repeat.*

    One that is there stays as it is. *Raises* InputError for a study of another space.
    """
    there = {trial.user_attrs.get(CASE): trial for trial in study.get_trials(deepcopy=False)}
    with quiet(optuna):
        for trial in _trials(optuna, search, outlook, sweep_index):
            known = there.pop(trial.user_attrs[CASE], None)
            if known is None:
                study.add_trial(trial)
            elif (known.params, known.distributions) != (trial.params, trial.distributions):
                raise _is_other(study, f"case {trial.user_attrs[CASE]} has other parameters there")
    if there:
        raise _is_other(study, "it has trials that are not of this sweep")


def _is_other(study: Any, what: str) -> InputError:
    return InputError(
        f"is a study of another space, or of another sweep: {what}",
        where=study.study_name,
        next_step=_OTHER,
    )


def _trials(
    optuna: Any, search: Search, outlook: Outlook, sweep_index: SweepIndex
) -> Iterator[Any]:
    """The trials that are over, as those of Optuna, in the order of indices.

    Attributes are the metrics besides the objective, of the last replicate.
    """
    version, ended = outlook.version, outlook.ended
    step, cases = version.manifest.replicates, trial_params(version)
    values = trial_values(sweep_index, search, version.source.n_cases, step)
    known = _known(sweep_index)
    is_whole = not version.cases_to_come
    for found in studied(search, [_scalars(params) for params in cases], values):
        numbers = found.positions.values()
        indices = [number * step + more for number in numbers for more in range(step)]
        is_last = is_whole or not may_be_promoted(search.halving, found)
        if not (is_last and all(index in ended for index in indices)):
            continue
        rows = [known[index] for index in indices if index in known]
        names = found.params[found.last].keys() & search.space.keys()
        space = {name: search.space[name] for name in ids.in_order(names)}
        distributions = optuna_distributions(optuna, space)
        metrics = json.loads(rows[-1]["metrics"] or "{}") if rows else {}
        further = {name: with_floats(metrics[name]) for name in metrics if name != search.objective}
        attributes = further | {CASE: min(numbers) * step}
        trial = optuna_trial(optuna, search, distributions, found, user_attrs=attributes)
        trial.datetime_start = _moment(min, [row["started"] for row in rows])
        trial.datetime_complete = _moment(max, [row["ended"] for row in rows])
        yield trial


def _known(sweep_index: SweepIndex) -> dict[int, dict[str, Any]]:
    names = ("started", "ended", "metrics")
    rows = {}
    for page in sweep_index.columns(names):
        for index, *cells in zip(*(page[name] for name in ("idx", *names)), strict=True):
            rows[index] = dict(zip(names, cells, strict=True))
    return rows


def _moment(choose: Any, times: Sequence[str | None]) -> datetime:
    """A time as Optuna keeps it: local, without an offset. Of a case that told none, now."""
    known = [epoch_s(time) for time in times if time is not None]
    return datetime.fromtimestamp(choose(known)) if known else datetime.now()  # noqa: DTZ005, DTZ006


def space_of(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The smallest space that has these cases: ranges of numbers, choices of all else."""
    by_name: dict[str, list[Any]] = {}
    for params in cases:
        for name, value in params.items():
            by_name.setdefault(name, []).append(value)
    return {name: _rule(values) for name, values in by_name.items()}


def _rule(values: list[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    if kinds <= {int, float}:
        kind = "RandInt" if kinds == {int} else "Uniform"
        return {"type": kind, "low": min(values), "high": max(values)}
    return {"type": "Choice", "options": [_scalar(value) for value in values]}


def _scalars(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _scalar(value) for name, value in params.items()}


def _scalar(value: Any) -> Any:
    """A value that Optuna can choose: a list or mapping becomes its canonical text."""
    return ids.canonical(value) if isinstance(value, (list, dict)) else value
