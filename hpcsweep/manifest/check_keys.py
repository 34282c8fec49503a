"""The key `ok_if` of a manifest: what the params and metrics of a case must satisfy."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.conditions.outcome_check import outcome_check
from hpcsweep.errors import InputError
from hpcsweep.manifest.key_values import refuse
from hpcsweep.manifest.mistakes import described


def _ok_if(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        refuse(f"is {described(value)}, not a condition", "Write: isfinite(loss) and drift < 1e-3")
    try:
        outcome_check(value)
    except InputError as error:
        refuse(f"is no condition: {error.what}", error.next_step or "")
    return str(value)


OkIf = Annotated[
    str | None, BeforeValidator(_ok_if), WithJsonSchema({"type": "string", "minLength": 1})
]
