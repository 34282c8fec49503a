"""Policies end at any site, for any ends of tasks; no complete case is sent, no limit exceeded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Retry
from hpcsweep.quantities import memory_bytes
from hpcsweep.records import Reason, Resources
from hpcsweep.sources import grid
from hpcsweep.state.canary import behind
from hpcsweep.state.given_up import exhausted
from hpcsweep.state.standstill import to_send
from hpcsweep.submission.canary_stop import has_failed
from hpcsweep.submission.policy import Policy, sendable
from tests.support.simulated_site import SimulatedSite, version_of

REASONS = (
    Reason.OUT_OF_MEMORY,
    Reason.TIMEOUT,
    Reason.NODE_FAIL,
    Reason.LOST,
    Reason.ERROR,
    Reason.QUOTA,
    Reason.CANCELLED,
)
# How often a full disk interrupts a case before there is room.
FULL_MAX = 2
ASKED = Resources(options={"mem": "1G", "time": "00:10:00"})


@dataclass(frozen=True)
class Sweep:
    """A sweep, the site where it runs, and its retries."""

    cases: int
    most: int
    array_size: int
    chunk: int | None
    canary: int
    max_attempts: int
    on: frozenset[Reason]
    cap: int | None
    # What the cluster gives at most, in GiB, and calls of sbatch between two decisions.
    site_cap: int | None
    calls: int | None

    @property
    def retry(self) -> Retry:
        """The retries of its manifest."""
        most = {} if self.cap is None else {"mem": self.cap << 30}
        return Retry(max_attempts=self.max_attempts, on=self.on, most=most)


SWEEPS = st.builds(
    Sweep,
    cases=st.integers(1, 40),
    most=st.integers(3, 12),
    array_size=st.integers(0, 7),
    chunk=st.none() | st.integers(1, 4),
    canary=st.integers(0, 4),
    max_attempts=st.integers(2, 4),
    on=st.frozensets(st.sampled_from(REASONS[:-1])),
    cap=st.none() | st.integers(1, 8),
    site_cap=st.none() | st.integers(1, 8),
    calls=st.none() | st.integers(2, 6),
)


@given(SWEEPS, st.data())
def test_a_sweep_ends_at_any_site(sweep: Sweep, data: st.DataObject) -> None:
    retry = sweep.retry
    attempts: dict[int, list[Reason | None]] = {}

    def ends(indices: IndexSet, _tries: int, _asked: Resources) -> dict[Reason | None, IndexSet]:
        found: dict[Reason | None, IndexSet] = {}
        for index in indices:
            reason = data.draw(st.none() | st.sampled_from(REASONS))
            mine = attempts.setdefault(index, [])
            if reason is Reason.QUOTA and mine.count(reason) == FULL_MAX:
                reason = None
            mine.append(reason)
            found[reason] = found.get(reason, IndexSet()) | IndexSet.of([index])
        return found

    caps = {} if sweep.site_cap is None else {"mem": sweep.site_cap << 30}
    policy = Policy(
        chunk=sweep.chunk,
        resources=ASKED,
        retry=retry,
        closes=True,
        canary=sweep.canary,
        caps=caps,
    )
    site = SimulatedSite(
        version=version_of(grid(x=list(range(sweep.cases)))),
        policy=policy,
        most=sweep.most,
        array_size=sweep.array_size,
        ends=ends,
        calls=sweep.calls,
    )
    site.send(site.decide(policy))
    advances = replace(policy, advances=True)
    for _ in range(sweep.cases * (sweep.max_attempts + FULL_MAX) + 1):
        if not site.queue:
            break
        site.run(data.draw(st.integers(1, len(site.queue))))
        seen = replace(site.outlook(), caps=caps)
        assert to_send(seen, retry) == sendable(seen, advances) - behind(seen)
        site.send(site.decide(advances))
    assert not site.queue
    if has_failed(site.outlook(), advances):  # nothing but the canary was sent
        assert not site.complete
        assert attempts.keys() == set(site.canary)
    else:
        assert attempts.keys() == set(range(sweep.cases))  # each was sent at least once
    for found in attempts.values():
        counted = [reason for reason in found if reason is not Reason.QUOTA]
        assert len(counted) <= sweep.max_attempts
        assert all(reason in sweep.on for reason in counted[:-1])
        assert found[-1] is not Reason.QUOTA  # there was room in the end
    asked = [memory_bytes(resources.options["mem"]) or 0 for resources in site.asked.values()]
    assert sweep.site_cap is None or max(asked) <= sweep.site_cap << 30
    last = replace(site.outlook(), caps=caps)
    given_up = IndexSet.union(exhausted(last, retry).values())
    retried = IndexSet.of(index for index, found in attempts.items() if found[-1] in sweep.on)
    assert given_up == retried  # and nothing that a retry could mend was forgotten
