"""The argument `trial` of a search's target: what a program for Optuna asks for its parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpcsweep.errors import InputError

# The name of the argument, and that of the metric for a target that returns a number alone.
ARGUMENT, VALUE = "trial", "value"


class SuggestedTrial:
    """A trial whose parameters are those of its case: Optuna's interface, as far as it applies."""

    def __init__(self, params: Mapping[str, Any], number: int) -> None:
        self.params = dict(params)
        # The index of the case.
        self.number = number
        self.user_attrs: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        """The value of a parameter; its distribution was known when the trial was asked."""
        return float(self._value(name, low, high))

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        """The value of a parameter; as `suggest_float`."""
        return int(self._value(name, low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The value of a parameter; as `suggest_float`."""
        return self._value(name, *choices)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Note a value; it becomes a metric of the case."""
        self.user_attrs[key] = value

    def report(self, value: float, step: int) -> None:
        """Do nothing: a search stops no trial while it runs."""

    def should_prune(self) -> bool:
        """Whether to end now: never."""
        return False

    def _value(self, name: str, *_: Any) -> Any:
        if name not in self.params:
            raise InputError(
                f"it suggests {name!r}, which is no parameter of this search",
                next_step="Suggest the same parameters in each trial, whatever their values are.",
            )
        return self.params[name]


def with_trial(function: Callable[..., Any]) -> Callable[..., Any]:
    """A target that takes `trial` as one that takes the parameters; others as they are.

    What it returns, a number, becomes the metric `value`, beside the attributes of the trial.
    """
    arguments = dict(inspect.signature(function).parameters)
    if ARGUMENT not in arguments:
        return function
    own = set(arguments) & {"params", "case"}

    @functools.wraps(function)
    def run(params: Mapping[str, Any], case: Any, **given: Any) -> Any:
        trial = SuggestedTrial(params, case.index)
        known = {"params": params, "case": case}
        result = function(**{ARGUMENT: trial}, **{name: known[name] for name in own}, **given)
        if isinstance(result, (int, float)):
            result = {VALUE: result}
        return {**trial.user_attrs, **(result or {})} if isinstance(result, Mapping) else result

    kind = inspect.Parameter.KEYWORD_ONLY
    others = [one for name, one in arguments.items() if name not in (ARGUMENT, "params", "case")]
    first = [inspect.Parameter(name, kind) for name in ("params", "case")]
    keywords = [
        one.replace(kind=kind) if one.kind is one.POSITIONAL_OR_KEYWORD else one for one in others
    ]
    # What `target` reads to fill the arguments.
    run.__signature__ = inspect.Signature([*first, *keywords])  # type: ignore[attr-defined]
    return run
