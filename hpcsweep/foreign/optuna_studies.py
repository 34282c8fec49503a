"""A manifest of the distributions of an Optuna study: from its storage, or from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from hpcsweep.errors import ExtraMissing, InputError
from hpcsweep.foreign.draft import (
    N_TRIALS,
    Draft,
    ImportRequest,
    ParameterNames,
    SearchOffer,
    program_of,
    read_text,
)
from hpcsweep.ids import slug
from hpcsweep.manifest.policies import MINIMIZE
from hpcsweep.redact import redact

# Most values of an integer with steps that are written as a list.
_LISTED_MAX = 10_000
_INTEGERS = ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution")
_FLOATS = (
    "FloatDistribution",
    "UniformDistribution",
    "LogUniformDistribution",
    "DiscreteUniformDistribution",
)
_JSON_FORM = (
    'Write {"lr": {"name": "FloatDistribution", "attributes": {"low": 0.001, "high": 0.1, '
    '"log": true, "step": null}}}, as optuna.distributions.distribution_to_json does.'
)


def import_file(request: ImportRequest) -> Draft:
    """The draft of a study. *Raises* InputError; ExtraMissing for a storage without optuna."""
    if "://" in request.source:
        draft, distributions = _of_storage(request)
    else:
        distributions = _of_json(request.source)
        draft = Draft(name=slug(Path(request.source).stem, 64), command=[], search=_search_offer())
    draft.command = program_of(request, draft, "a study")
    names = ParameterNames(draft)
    space: dict[str, Any] = {}
    for foreign, distribution in distributions.items():
        drawn = rule_of(distribution)
        if drawn is None:
            draft.left_out.append(f"{foreign}: {distribution}; there is no such distribution")
        else:
            space[names.of(foreign)] = drawn
            draft.command.append(f"--{foreign}={{{names.of(foreign)}}}")
    draft.left_out += [
        "sampler and pruner: the same distributions are drawn at random, whatever the results",
    ]
    draft.changed.append(f"n_trials is {N_TRIALS}; a study goes on until it is stopped")
    draft.source = {"random": {"space": space, "n_trials": N_TRIALS, "seed": 0}}
    return draft


def _of_json(source: str) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(read_text(source, "a JSON file of distributions, or a storage URL"))
        return {
            name: json.loads(value) if isinstance(value, str) else dict(value)
            for name, value in found.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"is not JSON of distributions by parameter: {error}",
            where=source,
            next_step=_JSON_FORM,
        ) from error


def _search_offer(directions: Sequence[str] = (MINIMIZE,)) -> SearchOffer | None:
    """A search for the objective of a study; None for one with several."""
    if len(directions) != 1:
        return None
    return SearchOffer(instead_of="a study", n=N_TRIALS, direction=directions[0])


def _of_storage(request: ImportRequest) -> tuple[Draft, dict[str, dict[str, Any]]]:
    """The draft of a study, and the distributions of its trials."""
    try:
        import optuna  # noqa: PLC0415  # only a storage needs it
    except ImportError as error:
        raise ExtraMissing(
            "optuna is not installed, and a storage is read by it",
            where=redact(request.source),
            next_step="pip install optuna; or write the distributions to a JSON file. "
            + _JSON_FORM,
        ) from error
    try:
        names: list[str] = optuna.get_all_study_names(request.source)
        name = request.study or next(iter(names), "")
        if name in names and (request.study or len(names) == 1):
            study = optuna.load_study(study_name=name, storage=request.source)
            trials = study.get_trials()
            directions = [direction.name.lower() for direction in study.directions]
    # What optuna hands on from its backends.
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"cannot be read as an Optuna storage: {redact(str(error)).partition(chr(10))[0]}",
            where=redact(request.source),
            next_step="Give its URL, like sqlite:///study.db.",
        ) from error
    if name not in names or not (request.study or len(names) == 1):
        raise InputError(
            f"has no study {name!r}" if request.study else f"has {len(names)} studies",
            where=redact(request.source),
            next_step=f"Name one with --study: {', '.join(names)}.",
        )
    distributions: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for parameter, distribution in trial.distributions.items():
            text = optuna.distributions.distribution_to_json(distribution)
            distributions.setdefault(parameter, json.loads(text))
    left_out = [f"the trials of the study, {len(trials)}, and their results"]
    if len(directions) != 1:
        left_out.append(f"the {len(directions)} objectives of the study; a search has one")
    offer = _search_offer(directions)
    return Draft(name=slug(name, 64), command=[], left_out=left_out, search=offer), distributions


def rule_of(distribution: Mapping[str, Any]) -> Any:
    """The rule of a distribution in Optuna's JSON; None for one that does not exist here."""
    attributes = distribution.get("attributes")
    if not isinstance(attributes, dict):
        return None
    kind = str(distribution.get("name"))
    if kind == "CategoricalDistribution":
        return {"type": "Choice", "options": attributes.get("choices")}
    bounds = {"low": attributes.get("low"), "high": attributes.get("high")}
    if bounds["low"] is not None and bounds["low"] == bounds["high"]:
        return bounds["low"]
    step = attributes.get("step", attributes.get("q"))
    # Names before Optuna 3: UniformDistribution, LogUniformDistribution, IntLogUniformDistribution.
    is_log = attributes.get("log") or "LogUniform" in kind
    if kind in _INTEGERS:
        if is_log or step in (None, 1):
            return {"type": "LogUniformInt" if is_log else "RandInt", **bounds}
        return _steps(bounds["low"], bounds["high"], step)
    if kind not in _FLOATS:
        return None
    if is_log or step is None:
        return {"type": "LogUniform" if is_log else "Uniform", **bounds}
    return {"type": "QUniform", **bounds, "step": step}


def _steps(low: Any, high: Any, step: Any) -> Any:
    if not all(type(value) is int for value in (low, high, step)) or step < 1:
        return None
    values = range(low, high + 1, step)
    return {"type": "Choice", "options": list(values)} if len(values) <= _LISTED_MAX else None
