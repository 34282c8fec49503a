"""The key `canary` of a manifest: how many cases go first."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.manifest.key_values import refuse
from hpcsweep.manifest.mistakes import Mistakes, described
from hpcsweep.quantities import counted

_NEXT = "Write how many cases go first, for example 5, or 0 for none."


def _canary(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        refuse(f"is {described(value)}", _NEXT)
    return value


CanaryValue = Annotated[
    int | None, BeforeValidator(_canary), WithJsonSchema({"type": "integer", "minimum": 0})
]


def check(canary: int | None, n_cases: int, mistakes: Mistakes) -> None:
    """Add a canary of more cases than there are to `mistakes`."""
    if canary is not None and canary > n_cases:
        are = f"there {'is' if n_cases == 1 else 'are'} {counted(n_cases, 'case')}"
        mistakes.add(("canary",), f"is {canary}, and {are}", _NEXT)
