"""The keys `retry` and `closing` of a manifest: their values, and what they say together."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from hpcsweep.manifest.key_values import MEMORY_SCHEMA, Memory, a_list, one_of, refuse
from hpcsweep.manifest.mistakes import Mistakes, described
from hpcsweep.manifest.policies import MAX_ATTEMPTS, RETRIED, SCALE, Policies, Retry, StopAfter
from hpcsweep.manifest.slurm_options import SCHEMA, options_text
from hpcsweep.quantities import memory_bytes, time_limit_seconds
from hpcsweep.records import Reason

REASONS = tuple(reason.value for reason in Reason if reason is not Reason.CANCELLED)


def _factor(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 1000:
        refuse(f"is {described(value)}", "Write a factor from 1 to 1000, for example 1.5.")
    return float(value)


def time_amount(value: Any) -> int:
    """Seconds of a time limit; refuses anything else."""
    seconds = None if isinstance(value, bool) else time_limit_seconds(str(value))
    if seconds is None:
        refuse(f"is {described(value)}, not a time limit", 'Write, for example, "24:00:00".')
    return seconds


def _attempts(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        refuse(f"is {described(value)}", "Write 2 or more, or remove `retry`.")
    return value


def _retry(value: Any) -> Any:
    """`retry: 3` means `retry: {max_attempts: 3}`."""
    return value if isinstance(value, dict) else {"max_attempts": value}


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", "Write `mem: …` or `time: …` below it.")
    return value


def _mapping_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


_FACTOR_SCHEMA = {"type": "number", "minimum": 1, "maximum": 1000}
# By hand: pydantic's own has references, which cannot stand inside another schema.
_RETRY_SCHEMA = _mapping_schema(
    max_attempts={"type": "integer", "minimum": 2},
    on={"type": "array", "items": {"enum": list(REASONS)}},
    scale=_mapping_schema(mem=_FACTOR_SCHEMA, time=_FACTOR_SCHEMA),
    max=_mapping_schema(
        mem=MEMORY_SCHEMA,
        time={"type": ["string", "integer"]},
    ),
)
_Factor = Annotated[float, BeforeValidator(_factor)]
_Reason = Annotated[str, BeforeValidator(one_of(*REASONS))]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleKeys(_Keys):
    """The keys of `retry.scale`."""

    mem: _Factor = SCALE["mem"]
    time: _Factor = SCALE["time"]


class MaxKeys(_Keys):
    """The keys of `retry.max`."""

    mem: Memory = None
    time: Annotated[int | None, BeforeValidator(time_amount)] = None


class RetryKeys(_Keys):
    """The keys of `retry`."""

    max_attempts: Annotated[int, BeforeValidator(_attempts)] = MAX_ATTEMPTS
    on: Annotated[list[_Reason], BeforeValidator(a_list)] = [reason.value for reason in RETRIED]
    scale: Annotated[ScaleKeys, BeforeValidator(_mapping)] = ScaleKeys()
    max: Annotated[MaxKeys, BeforeValidator(_mapping)] = MaxKeys()


# The models of keys that are mappings, by the path of the mapping.
NESTED: dict[tuple[str | int, ...], type[BaseModel]] = {
    ("retry",): RetryKeys,
    ("retry", "scale"): ScaleKeys,
    ("retry", "max"): MaxKeys,
}


def _closing(value: Any) -> Any:
    if value is not False and not isinstance(value, dict):
        refuse(
            f"is {described(value)}, not a mapping",
            "Write `option: value` below it, or false for no closing jobs.",
        )
    return value


ClosingValue = Annotated[
    dict[str, bool | int | str] | bool,
    BeforeValidator(_closing),
    WithJsonSchema({"anyOf": [{"const": False}, SCHEMA]}),
]

RetryValue = Annotated[
    RetryKeys | None,
    BeforeValidator(_retry),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 2}, _RETRY_SCHEMA]}),
]


def read(
    retry: RetryKeys | None,
    closing: dict[str, Any] | bool,
    stop_after: StopAfter | None,
    options: dict[str, str],
    mistakes: Mistakes,
) -> Policies:
    """The policies of a manifest; adds what its keys say against each other to `mistakes`.

    `options` are sbatch's own of the manifest.
    """
    return Policies(
        retry=None if retry is None else _checked(retry, options, mistakes),
        closing=options_text(closing) if isinstance(closing, dict) else None,
        stop_after=stop_after,
    )


def _checked(keys: RetryKeys, options: dict[str, str], mistakes: Mistakes) -> Retry:
    reasons = frozenset(map(Reason, keys.on))
    most = {name: value for name, value in keys.max if value is not None}
    requested = {
        "mem": memory_bytes(options.get("mem", "")),
        "time": time_limit_seconds(options.get("time", "")),
    }
    for reason, name in ((Reason.OUT_OF_MEMORY, "mem"), (Reason.TIMEOUT, "time")):
        if reason not in reasons:
            continue
        if getattr(keys.scale, name) == 1:
            mistakes.add(
                ("retry", "scale", name),
                f"is 1, so a retry after {reason} would end in the same way",
                f"Write a factor above 1, or leave {reason} out of `retry.on`.",
            )
        limit, own = most.get(name), requested[name]
        if limit is not None and own is not None and limit <= own:
            mistakes.add(
                ("retry", "max", name),
                f"is not above slurm.{name}, {options[name]}, so a retry after {reason} could ask "
                "for no more",
                f"Raise it, or leave {reason} out of `retry.on`.",
            )
    return Retry(max_attempts=keys.max_attempts, on=reasons, scale=dict(keys.scale), most=most)
