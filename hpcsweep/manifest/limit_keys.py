"""The key `limits` of a manifest: the limits that the user sets over those of the cluster."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from hpcsweep.errors import InputError
from hpcsweep.manifest.key_values import MEMORY_SCHEMA, Memory, refuse
from hpcsweep.manifest.mistakes import described
from hpcsweep.manifest.policy_keys import time_amount
from hpcsweep.settings import Profile

# A closing job needs a call of sbatch beside that of its array.
_CALLS_MIN = 2


def _at_least(least: int) -> BeforeValidator:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            refuse(f"is {described(value)}", f"Write a whole number from {least} on.")
        return value

    return BeforeValidator(check)


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", "Write, for example, max_submit: 200.")
    return value


_Count = Annotated[int | None, _at_least(1)]


class LimitKeys(BaseModel):
    """The keys of `limits`; times in seconds, memory in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_submit: _Count = None
    max_array_size: Annotated[int | None, _at_least(0)] = None
    submissions_per_hour: Annotated[int | None, _at_least(_CALLS_MIN)] = None
    time: Annotated[int | None, BeforeValidator(time_amount)] = None
    mem: Memory = None
    nodes: _Count = None
    cpus: _Count = None
    gpus: Annotated[int | None, _at_least(0)] = None


def _count_schema(least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least}


LimitsValue = Annotated[
    LimitKeys | None,
    BeforeValidator(_mapping),
    # By hand: pydantic's own has references, which cannot stand inside another schema.
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "max_submit": _count_schema(1),
                "max_array_size": _count_schema(0),
                "submissions_per_hour": _count_schema(_CALLS_MIN),
                "time": {"type": ["string", "integer"]},
                "mem": MEMORY_SCHEMA,
                "nodes": _count_schema(1),
                "cpus": _count_schema(1),
                "gpus": _count_schema(0),
            },
        }
    ),
]


def read(keys: LimitKeys | None) -> dict[str, int]:
    """The limits that a manifest sets, by key."""
    if keys is None:
        return {}
    return {name: value for name, value in keys if value is not None}


def of_profile(profile: Profile) -> dict[str, int]:
    """The limits that a profile sets. *Raises* InputError with file and line."""
    try:
        return read(LimitKeys.model_validate(profile.get("limits", {})))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key, context = problem["loc"], problem.get("ctx", {})
        raise InputError(
            f"limits.{'.'.join(map(str, key))}: {context.get('what', 'unknown key')}",
            where=profile.where(("limits", *key)),
            next_step=context.get("next_step") or f"Known are {', '.join(LimitKeys.model_fields)}.",
        ) from error
