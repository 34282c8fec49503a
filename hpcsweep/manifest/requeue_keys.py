"""The keys `requeue` and `checkpoint_signal` of a manifest, for tasks that have to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.key_values import one_of
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.slurm_options import EXPEDITE, REQUEUE

# What a command may handle; TERM follows in any case.
SIGNALS = ("USR1", "USR2", "INT", "HUP", "QUIT")


def _signal(value: Any) -> str:
    return one_of(*SIGNALS)(value.removeprefix("SIG") if isinstance(value, str) else value)


CheckpointSignal = Annotated[
    str | None,
    BeforeValidator(_signal),
    WithJsonSchema({"enum": [*SIGNALS, *(f"SIG{name}" for name in SIGNALS)]}),
]


def check(
    requeue: bool | None,
    checkpoint_signal: str | None,
    target: Target | None,
    options: Mapping[str, str],
    mistakes: Mistakes,
) -> None:
    """Add what the two keys say against `slurm:` and the target to `mistakes`."""
    if requeue is False and options.get(REQUEUE) == EXPEDITE:
        other = f"slurm.requeue is {EXPEDITE} ({mistakes.where(('slurm', REQUEUE))})"
        mistakes.add(("requeue",), f"is false, but {other}", "Keep one of them.")
    if checkpoint_signal is not None and target is not None and not target.is_command:
        mistakes.add(
            ("checkpoint_signal",),
            "is only for a command",
            "Remove it: a function looks at `checkpoint.requested`, or just saves.",
        )
