"""The key `search` of a manifest: its value, and what it needs of the source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from hpcsweep.manifest import halving_keys, target_spec
from hpcsweep.manifest.halving_keys import HalvingValue
from hpcsweep.manifest.key_values import Count, one_of, refuse
from hpcsweep.manifest.mistakes import Mistakes, described
from hpcsweep.manifest.policies import DIRECTIONS, MINIMIZE, SAMPLERS, WITH_STATE, Search
from hpcsweep.manifest.source_forms import SPACE
from hpcsweep.sources.base import ParameterSource

# What Optuna has a distribution for; of the others it cannot propose a value.
SEARCHED = ("Uniform", "LogUniform", "QUniform", "RandInt", "LogUniformInt", "Choice")
_CONSTANT = "Constant"
_EXAMPLE = "{lr: {type: LogUniform, low: 1.0e-5, high: 0.1}}"


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", "Write objective, batch and n below it.")
    return value


def _metric(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        refuse(f"is {described(value)}", "Write the name of a metric, for example energy.")
    return value


def _sampler(value: Any) -> Any:
    """`sampler: tpe` means `sampler: {name: tpe}`."""
    keys = value if isinstance(value, dict) else {"name": value}
    name = keys.get("name")
    if not isinstance(name, str):
        refuse(f"has the name {name!r}", f"Write one of {', '.join(SAMPLERS)}, or file.py:make.")
    if name in WITH_STATE:
        refuse(
            f"is {name}, which keeps a state that the results of the cases do not have",
            f"Use one of {', '.join(SAMPLERS)}.",
        )
    if ":" not in name and name not in SAMPLERS:
        refuse(
            f"is {described(name)}, an unknown sampler",
            f"Write one of {', '.join(SAMPLERS)}; or file.py:make, a function that is given seed.",
        )
    if "seed" in keys:
        refuse("has a seed of its own", "Remove it: `seed:` of the manifest is used.")
    return keys


class SearchKeys(BaseModel):
    """The keys of `search`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Annotated[str, BeforeValidator(_metric)]
    n: Count
    batch: Count = 16
    direction: Annotated[str, BeforeValidator(one_of(*DIRECTIONS))] = MINIMIZE
    sampler: Annotated[dict[str, Any], BeforeValidator(_sampler)] = {"name": "tpe"}
    halving: HalvingValue | None = None


_COUNT_SCHEMA = {"type": "integer", "minimum": 1}
_NAME_SCHEMA = {"anyOf": [{"enum": list(SAMPLERS)}, {"type": "string", "pattern": "^.+:[^:]+$"}]}
# By hand: pydantic's own has references, which cannot stand inside another schema.
SearchValue = Annotated[
    SearchKeys | None,
    BeforeValidator(_mapping),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["objective", "n"],
            "properties": {
                "objective": {"type": "string", "minLength": 1},
                "n": _COUNT_SCHEMA,
                "batch": _COUNT_SCHEMA,
                "direction": {"enum": list(DIRECTIONS)},
                "sampler": {
                    "anyOf": [
                        _NAME_SCHEMA,
                        {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": _NAME_SCHEMA},
                        },
                    ]
                },
                "halving": halving_keys.SCHEMA,
            },
        }
    ),
]


def stand_in(raw: Mapping[str, Any], mistakes: Mistakes) -> Any:
    """The `source:` of a manifest; with a `search`, random draws from the space instead.

    They stand for the cases that the search will ask: names and distributions are checked by them.
    With `halving` they have its resource, too. None after adding a mistake.
    """
    source, search = raw["source"], raw.get("search")
    if not isinstance(search, dict):
        return source
    if not isinstance(source, dict) or source.keys() != {SPACE}:
        mistakes.add(
            ("source",),
            "is not a space alone, and a search finds the cases itself",
            f"Write source: {{space: {_EXAMPLE}}}.",
        )
        return None
    count = search.get("n")
    is_count = isinstance(count, int) and not isinstance(count, bool) and count > 0
    space = _with_resource(source[SPACE], search.get("halving"), mistakes)
    draws = {"n_trials": count if is_count else 1, "seed": 0}
    return {"type": "RandomSource", SPACE: space, **draws}


def _with_resource(space: Any, halving: Any, mistakes: Mistakes) -> Any:
    """A space with the resource of `halving`, at the budget of new configurations."""
    keys = halving if isinstance(halving, dict) else {}
    resource = keys.get("resource")
    if not (isinstance(space, dict) and isinstance(resource, str)):
        return space
    if resource in space:
        mistakes.add(
            ("search", "halving", "resource"),
            f"is {described(resource)}, which the space has, too",
            "Remove it from the space: the search sets its value.",
        )
    return {resource: keys.get("min", 1), **space}


def read(
    keys: SearchKeys | None, source: ParameterSource | None, root: Path, mistakes: Mistakes
) -> Search | None:
    """The search of a manifest; None for none, or after adding mistakes. `source`: `stand_in`'s."""
    if keys is None or source is None:
        return None
    space = source.to_manifest_dict()["space"]
    _check_space(space, mistakes)
    name = str(keys.sampler["name"])
    target = None
    if name not in SAMPLERS:
        target = target_spec.named(("search", "sampler"), name, "function", root, mistakes)
    return Search(
        objective=keys.objective,
        space=space,
        n=keys.n,
        batch=min(keys.batch, keys.n),
        direction=keys.direction,
        sampler=name if target is None else "",
        target=target,
        options={key: value for key, value in keys.sampler.items() if key != "name"},
        halving=None if keys.halving is None else halving_keys.read(keys.halving),
    )


def _check_space(space: Mapping[str, Mapping[str, Any]], mistakes: Mistakes) -> None:
    for name, rule in space.items():
        kind = rule["type"]
        if kind not in (*SEARCHED, _CONSTANT):
            mistakes.add(
                ("source", "space", name),
                f"is {kind}, for which Optuna has no distribution",
                f"Use one of {', '.join(SEARCHED)}, or a single value.",
            )
        scalars = (str, int, float, bool, type(None))
        if kind == "Choice" and not all(isinstance(one, scalars) for one in rule["options"]):
            mistakes.add(
                ("source", "space", name),
                "has an option that is a list or a mapping",
                "Give the options names, and choose among these.",
            )
    if all(rule["type"] == _CONSTANT for rule in space.values()):
        mistakes.add(
            ("source", "space"),
            "has no distribution, so there is nothing to search",
            f"Write, for example, {_EXAMPLE}.",
        )
