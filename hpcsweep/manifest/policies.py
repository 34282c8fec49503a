"""What a manifest says of retries: plain records, and their form in the frozen manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.records import Reason

# Reasons that a retry can mend, and that are no error of the user's code.
RETRIED = (
    Reason.OUT_OF_MEMORY,
    Reason.TIMEOUT,
    Reason.NODE_FAIL,
    Reason.PREEMPTED,
    Reason.LOST,
)
# A retry's factors on what ran out.
SCALE = {"mem": 1.5, "time": 2.0}
MAX_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Which cases are run again without being asked, and with what."""

    # Of one case, the first one included; >= 2.
    max_attempts: int = MAX_ATTEMPTS
    # Reasons of attempts that are repeated.
    on: frozenset[Reason] = frozenset(RETRIED)
    # Factors >= 1 for the next attempt of a case whose memory ("mem") or time ("time") ran out.
    scale: Mapping[str, float] = field(default_factory=lambda: dict(SCALE))
    # The most that a retry asks for: bytes of "mem", seconds of "time"; absent for no such cap.
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """What a sweep does by itself after a submission."""

    # None: nothing is sent again unless a user asks.
    retry: Retry | None = None
    # sbatch's long options of closing jobs, over those of the array's that they share.
    closing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form in the frozen manifest: only what differs from the defaults."""
        document: dict[str, Any] = {}
        if self.retry is not None:
            document["retry"] = {
                "max_attempts": self.retry.max_attempts,
                "on": sorted(self.retry.on),
                "scale": dict(self.retry.scale),
                "max": dict(self.retry.most),
            }
        if self.closing:
            document["closing"] = dict(self.closing)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Policies:
        """Parse `to_json`'s form. *Raises* KeyError, TypeError, ValueError if it is damaged."""
        retry = document.get("retry")
        return cls(
            retry=None
            if retry is None
            else Retry(
                max_attempts=retry["max_attempts"],
                on=frozenset(map(Reason, retry["on"])),
                scale=dict(retry["scale"]),
                most=dict(retry["max"]),
            ),
            closing=dict(document.get("closing", {})),
        )
