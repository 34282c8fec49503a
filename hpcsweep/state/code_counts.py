"""How many complete cases were computed with other code than is there now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hpcsweep.quantities import counted
from hpcsweep.state.outlook import Outlook, State

# Digits of a digest for people, and how many digests are named.
DIGEST_DIGITS = 8
DIGESTS_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeCounts:
    """The code of the complete cases, in counts of indices."""

    complete: int = 0
    # Cases of other code than today's, by its digest.
    other: Mapping[str, int] = field(default_factory=dict)
    # The digest of today's code; None if it is not known.
    today: str | None = None

    @classmethod
    def of(cls, outlook: Outlook) -> Self:
        """Count the cases of an outlook."""
        other: Counter[str] = Counter()
        for group in outlook.groups:
            if group.state is State.STALE:
                other[group.code_digest or "unknown"] += group.indices.count
        return cls(complete=outlook.complete.count, other=other, today=outlook.code_digest)

    @property
    def stale(self) -> int:
        """Count of cases that were computed with other code."""
        return sum(self.other.values())

    def text(self, name: str = "") -> str:
        """Say how many cases, of the sweep `name`; empty if there are none."""
        if not self.stale:
            return ""
        of_sweep = f" of {name}" if name else ""
        of_cases = f"of {counted(self.complete, 'complete case')}{of_sweep}"
        what = counted(self.stale, f"{of_cases} was", f"{of_cases} were")
        return f"{what} computed with other code"

    @property
    def digests(self) -> str:
        """Say how many cases are of which digest, and which is today's."""
        most = Counter(self.other).most_common()
        named = [f"{count} with {digest[:DIGEST_DIGITS]}" for digest, count in most]
        more = len(named) - DIGESTS_NAMED
        rest = [f"{sum(count for _, count in most[DIGESTS_NAMED:])} with {counted(more, 'other')}"]
        texts = named[:DIGESTS_NAMED] + (rest if more > 0 else [])
        now = f"; it is {self.today[:DIGEST_DIGITS]} now" if self.today else ""
        return ", ".join(texts) + now

    def to_json(self) -> dict[str, Any]:
        """As `status --json` has it."""
        return {"complete": self.complete, "other": dict(self.other), "today": self.today}
