"""The key `stop_after` of a manifest: its value, and its form for editors."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from hpcsweep.manifest.key_values import one_of, refuse
from hpcsweep.manifest.mistakes import described
from hpcsweep.manifest.policies import StopAfter

_PERCENT = re.compile(r"(\d{1,2}(?:\.\d{1,6})?|100)\s*%", re.ASCII)
_NEXT = 'Write a count such as 20, or a share of all cases such as "5%".'


def _failures(value: Any) -> int | str:
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value.strip())
        if match is None or not float(match[1]):
            refuse(f"is {described(value)}", _NEXT)
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse(f"is {described(value)}", _NEXT)
    return value


def _stop(value: Any) -> Any:
    """`stop_after: 20` means `stop_after: {failures: 20}`."""
    return value if isinstance(value, dict) else {"failures": value}


class StopKeys(BaseModel):
    """The keys of `stop_after`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: Annotated[int | str, BeforeValidator(_failures)]
    of: Annotated[str, BeforeValidator(one_of("all", "equal"))] = "all"
    then: Annotated[str, BeforeValidator(one_of("cancel", "hold"))] = "cancel"


_FAILURES_SCHEMA = [
    {"type": "integer", "minimum": 1},
    {"type": "string", "pattern": f"^{_PERCENT.pattern}$"},
]
StopValue = Annotated[
    StopKeys | None,
    BeforeValidator(_stop),
    WithJsonSchema(
        {
            "anyOf": [
                *_FAILURES_SCHEMA,
                {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["failures"],
                    "properties": {
                        "failures": {"anyOf": _FAILURES_SCHEMA},
                        "of": {"enum": ["all", "equal"]},
                        "then": {"enum": ["cancel", "hold"]},
                    },
                },
            ]
        }
    ),
]


def read(keys: StopKeys | None) -> StopAfter | None:
    """The circuit breaker of a manifest."""
    if keys is None:
        return None
    share = isinstance(keys.failures, str)
    return StopAfter(
        failures=None if isinstance(keys.failures, str) else keys.failures,
        share=float(str(keys.failures).rstrip("% ")) / 100 if share else None,
        equal=keys.of == "equal",
        then=keys.then,
    )
