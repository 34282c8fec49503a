"""The key `halving` of a `search`: its value, and its form for editors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from hpcsweep.manifest.key_values import Count, refuse
from hpcsweep.manifest.mistakes import described
from hpcsweep.manifest.policies import Halving

_EXAMPLE = "{resource: epochs, min: 1, max: 81, factor: 3}"
_FACTOR_MIN = 2


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", f"Write, for example, {_EXAMPLE}.")
    return value


def _resource(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        refuse(f"is {described(value)}", "Write the name of a parameter, for example epochs.")
    return value


def _factor(value: int) -> int:
    if value < _FACTOR_MIN:
        refuse(f"is {value}", f"It must be {_FACTOR_MIN} or more.")
    return value


class HalvingKeys(BaseModel):
    """The keys of `search.halving`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resource: Annotated[str, BeforeValidator(_resource)]
    min: Count = 1
    max: Count
    factor: Annotated[Count, AfterValidator(_factor)] = 3


def _fitting(keys: HalvingKeys) -> HalvingKeys:
    """Check that `max` is a budget of a rung, and not that of the first."""
    if keys.max <= keys.min:
        refuse(
            f"has the max {keys.max}, which is not above the min {keys.min}",
            f"Write, for example, {_EXAMPLE}.",
        )
    budgets = read(keys).budgets
    if budgets[-1] != keys.max:
        fitting = " or ".join(f"max: {budget}" for budget in budgets[1:][-2:])
        refuse(
            f"has the max {keys.max}, which is none of the budgets: {keys.min}, and each "
            f"{keys.factor} times the one before",
            f"Write {fitting}.",
        )
    return keys


HalvingValue = Annotated[HalvingKeys, BeforeValidator(_mapping), AfterValidator(_fitting)]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["resource", "max"],
    "properties": {
        "resource": {"type": "string", "minLength": 1},
        "min": {"type": "integer", "minimum": 1},
        "max": {"type": "integer", "minimum": 2},
        "factor": {"type": "integer", "minimum": _FACTOR_MIN},
    },
}


def read(keys: HalvingKeys) -> Halving:
    """The halving of a search."""
    return Halving(
        resource=keys.resource,
        smallest=keys.min,
        largest=keys.max,
        factor=keys.factor,
    )
