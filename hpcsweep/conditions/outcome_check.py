"""The condition on the params and metrics of a case: `ok_if` of a manifest.

A metric has its own name, or `metric.name` where a param has that name too; `a.b` is a value inside
a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, cast

from hpcsweep import ids
from hpcsweep.conditions.evaluation import compile_condition
from hpcsweep.conditions.syntax import conjuncts, names_in, parse
from hpcsweep.errors import InputError

WHERE = "ok_if"
# Words that other languages have for values. Every case would lack such a name, and fail.
_NO_NAMES = {
    **dict.fromkeys(("true", "false", "null"), "Truth values and null are True, False and None."),
    **dict.fromkeys(("nan", "NaN", "inf"), "Write isnan(loss), or isfinite(loss)."),
}
# Why a case does not satisfy it, by params and metrics; None if it does.
Check = Callable[[Mapping[str, Any], Mapping[str, Any]], "str | None"]


class _AnyName(Container[str]):
    """All names: a case tells its metrics only when it ends."""

    def __contains__(self, name: object) -> bool:
        return True


def outcome_check(text: str) -> Check:
    """The check of a condition. *Raises* InputError for a syntax error or an unknown function."""
    condition = parse(text, cast("Any", _AnyName()), WHERE, "param or metric")
    parts = list(conjuncts(condition))
    tests = [compile_condition(part, WHERE) for part in parts]
    names = sorted(set(names_in(condition)))
    for name in names:
        if name in _NO_NAMES:
            raise InputError(
                f"{name!r} is not a param or metric", where=WHERE, next_step=_NO_NAMES[name]
            )

    def problem(params: Mapping[str, Any], metrics: Mapping[str, Any]) -> str | None:
        values = _values(params, metrics)
        for name in names:
            if name not in values:
                return f"{text!r} cannot be checked: the case has no param or metric {name!r}"
        for part, test in zip(parts, tests):
            try:
                if test(values):
                    continue
            except InputError as error:
                return f"{text!r} cannot be checked: {error.what}"
            shown = ", ".join(
                f"{name} = {_shown(values[name])}" for name in dict.fromkeys(names_in(part))
            )
            return f"{getattr(part, 'text', text)!r} does not hold: {shown}"
        return None

    return problem


def _values(params: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    values = _flat(metrics, "metric.")
    return {**values, **_flat(metrics, ""), **_flat(params, "")}


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Values by name; those inside a mapping by `a.b`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, float) else ids.shown(value)
