"""What a manifest says of retries, stops and limits: plain records, and their form when frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from hpcsweep.manifest.frozen import Target, target_json, target_of
from hpcsweep.older_python import dataclass
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
class StopAfter:
    """The circuit breaker: after how many failures a sweep stops, and what becomes of its queue."""

    # Either a count of cases, or a share of all of them in (0, 1].
    failures: int | None = None
    share: float | None = None
    # Whether only failures with the same error count together.
    equal: bool = False
    # What is done with queued array tasks: "cancel" or "hold".
    then: str = "cancel"

    def threshold(self, n_cases: int) -> int:
        """The count of failed cases that stops a sweep; at least 1."""
        if self.failures is not None:
            return self.failures
        return max(1, math.ceil((self.share or 0.0) * n_cases))


# When a sweep is over: all cases are complete, or nothing more happens by itself.
WHEN = COMPLETE, SETTLED = ("complete", "settled")
# What a reduce is given: the sweep directory, and the file with the table of all cases.
GIVEN = ("sweep", "table")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduce:
    """What runs once, as a job, over the whole table of a sweep."""

    target: Target
    # One of WHEN.
    when: str = COMPLETE
    # sbatch's long options, over those of the sweep's array tasks.
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notify:
    """How a user is notified of a sweep: either by a command, or by mail to an address."""

    # A program and its arguments; relative to the manifest's directory.
    command: tuple[str, ...] = ()
    mail: str = ""


# Which values of its objective a search prefers.
DIRECTIONS = MINIMIZE, MAXIMIZE = ("minimize", "maximize")


# Samplers of a search by name: those whose proposals follow from the results alone, so that a study
# can be rebuilt from these.
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}
# Those of Optuna that keep a state of their own in the storage of a study: they would begin anew
# with each batch.
WITH_STATE = {
    "cmaes": "CmaEsSampler",
    "grid": "GridSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "qmc": "QMCSampler",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Halving:
    """Successive halving: few of the configurations that a search tries get a larger budget.

    Each run of a configuration is a trial of its own, that continues the one before.
    """

    # The parameter that has the budget, for example a count of epochs.
    resource: str
    # The budget of a new configuration, and the largest: the smallest, times a power of `factor`.
    smallest: int
    largest: int
    # One of so many configurations is promoted to the next budget, which is so many times larger.
    factor: int

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets of the rungs, ascending."""
        budgets = [self.smallest]
        while budgets[-1] < self.largest:
            budgets.append(budgets[-1] * self.factor)
        return tuple(budgets)

    def budget_of(self, params: Mapping[str, Any]) -> int:
        """The budget of a case."""
        return int(params[self.resource])

    def before(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The params of the case that a case continues; None for a new configuration."""
        budget = self.budget_of(params)
        if budget <= self.smallest:
            return None
        return {**params, self.resource: budget // self.factor}

    def after(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The params of the case that continues a case; None for one with the largest budget."""
        budget = self.budget_of(params)
        if budget >= self.largest:
            return None
        return {**params, self.resource: budget * self.factor}


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How the cases of a sweep are found, batch by batch, from the results of earlier ones."""

    # The metric whose values are compared.
    objective: str
    # The distribution of each parameter, as its manifest dict.
    space: Mapping[str, Any]
    # Count of trials; with replicates a trial is several cases.
    n: int
    # How many of them are asked at once.
    batch: int
    # One of DIRECTIONS.
    direction: str = MINIMIZE
    # What makes the sampler: one of the known names, or "" where a target does.
    sampler: str = "tpe"
    target: Target | None = None
    # Keyword arguments of the sampler, besides its seed.
    options: Mapping[str, Any] = field(default_factory=dict)
    # None: each configuration runs once.
    halving: Halving | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in the frozen manifest; without `halving` that of versions before it."""
        document = asdict(self) | {
            "target": None if self.target is None else target_json(self.target),
            "space": dict(self.space),
            "options": dict(self.options),
        }
        if self.halving is None:
            del document["halving"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Search:
        """Parse `to_json`'s form. *Raises* KeyError, TypeError if it is damaged."""
        target, halving = document["target"], document.get("halving")
        parsed = {
            "target": None if target is None else target_of(dict(target)),
            "halving": None if halving is None else Halving(**halving),
        }
        return cls(**{**document, **parsed})


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """What a sweep does by itself after a submission."""

    # None: nothing is sent again unless a user asks.
    retry: Retry | None = None
    # sbatch's long options of closing jobs, over those of the array's that they share. None: no
    # closing jobs, as compute nodes may not submit.
    closing: Mapping[str, str] | None = field(default_factory=dict)
    # None: failures stop nothing.
    stop_after: StopAfter | None = None
    # None: nobody is notified.
    notify: Notify | None = None
    # Seconds that a case takes, as the user knows; > 0. None: as was measured.
    case_seconds: float | None = None
    # None: nothing runs when the cases are complete.
    reduce: Reduce | None = None
    # None: the cases are those of the source.
    search: Search | None = None
    # Whether this is the manifest of a reduce: its target takes which parameters it wants.
    is_reduce: bool = False
    # How many cases go first, before all others; 0 for none, None where the manifest does not say.
    canary: int | None = None
    # Whether an array task that has to end is started again; None: as the cluster does by default.
    requeue: bool | None = None
    # What a running command gets before TERM, to save its state: "USR1". None: TERM at once.
    checkpoint_signal: str | None = None
    # Limits of the cluster that the user sets, by key of `limits`: counts, seconds and bytes.
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def closes(self) -> bool:
        """Whether something is to be decided when an array is over."""
        return any((self.retry, self.stop_after, self.notify, self.reduce, self.search))

    def to_json(self) -> dict[str, Any]:
        """The form in the frozen manifest: only what differs from the defaults."""
        plain = {
            "case_seconds": self.case_seconds,
            "canary": self.canary,
            "requeue": self.requeue,
            "checkpoint_signal": self.checkpoint_signal,
        }
        document: dict[str, Any] = {
            name: value for name, value in plain.items() if value is not None
        }
        if self.retry is not None:
            document["retry"] = {
                "max_attempts": self.retry.max_attempts,
                "on": sorted(self.retry.on),
                "scale": dict(self.retry.scale),
                "max": dict(self.retry.most),
            }
        if self.closing is None:
            document["closing"] = False
        elif self.closing:
            document["closing"] = dict(self.closing)
        if self.stop_after is not None:
            document["stop_after"] = asdict(self.stop_after)
        if self.notify is not None:
            document["notify"] = asdict(self.notify)
        if self.reduce is not None:
            document["reduce"] = {
                "target": target_json(self.reduce.target),
                "when": self.reduce.when,
                "slurm": dict(self.reduce.options),
            }
        if self.search is not None:
            document["search"] = self.search.to_json()
        if self.is_reduce:
            document["is_reduce"] = True
        if self.limits:
            document["limits"] = dict(self.limits)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Policies:
        """Parse `to_json`'s form. *Raises* KeyError, TypeError, ValueError if it is damaged."""
        retry, stop, reduce = (document.get(key) for key in ("retry", "stop_after", "reduce"))
        tell, search = document.get("notify"), document.get("search")
        closing = document.get("closing", {})
        return cls(
            retry=None
            if retry is None
            else Retry(
                max_attempts=retry["max_attempts"],
                on=frozenset(map(Reason, retry["on"])),
                scale=dict(retry["scale"]),
                most=dict(retry["max"]),
            ),
            closing=None if closing is False else dict(closing),
            stop_after=None if stop is None else StopAfter(**stop),
            notify=None
            if tell is None
            else Notify(command=tuple(tell["command"]), mail=tell["mail"]),
            case_seconds=document.get("case_seconds"),
            reduce=None
            if reduce is None
            else Reduce(
                target=target_of(dict(reduce["target"])),
                when=reduce["when"],
                options=dict(reduce["slurm"]),
            ),
            search=None if search is None else Search.from_json(search),
            is_reduce=bool(document.get("is_reduce")),
            canary=document.get("canary"),
            requeue=document.get("requeue"),
            checkpoint_signal=document.get("checkpoint_signal"),
            limits=dict(document.get("limits", {})),
        )
