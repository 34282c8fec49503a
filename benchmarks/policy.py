"""What a decision costs: a sweep of 10^7 cases at a site that lets one queue 220 array tasks.

    python benchmarks/policy.py

No Slurm: the policy, a simulated queue and a clock of steps. Some cases run out of memory or time
at each attempt, nodes fail; the simulation holds that nothing complete is sent again and that the
queue is never fuller than the site lets it be.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import measuring

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Retry
from hpcsweep.records import Reason, Resources
from hpcsweep.sources import arange, grid
from hpcsweep.submission.policy import Policy, decide
from tests.support.simulated_site import SimulatedSite, version_of

CASES = 10**7
CHUNK = 250
MOST = 220
ARRAY_SIZE = 1001
BUDGET_MS = 50
# Of each chunk the first case ends so, at its first attempt: by the chunk's number.
EVERY = {97: Reason.OUT_OF_MEMORY, 89: Reason.TIMEOUT, 83: Reason.NODE_FAIL}
ASKED = Resources(options={"mem": "2G", "time": "00:30:00"})


def ends(indices: IndexSet, tries: int, _asked: Resources) -> dict[Reason | None, IndexSet]:
    """How one attempt of these indices ends."""
    found: dict[Reason | None, IndexSet] = {}
    rest = indices
    if tries == 1:
        for every, reason in EVERY.items():
            chunks = (
                chunk
                for start, stop in indices.ranges
                for chunk in range(-(-start // CHUNK), -(-stop // CHUNK))
            )
            mine = IndexSet.of(chunk * CHUNK for chunk in chunks if chunk % every == 0) & rest
            if mine:
                found[reason] = mine
                rest -= mine
    found[None] = rest
    return found


def main() -> None:
    """Simulate and print."""
    policy = Policy(chunk=CHUNK, resources=ASKED, retry=Retry(), closes=True)
    site = SimulatedSite(
        version=version_of(grid(x=arange(0, CASES, 1))),
        policy=policy,
        most=MOST,
        array_size=ARRAY_SIZE,
        ends=ends,
    )
    costs = []
    advances = replace(policy, advances=True)
    sent: tuple[object, ...] = (None,)
    while sent or site.queue:
        outlook, limits = site.outlook(), site.limits()
        begun = time.process_time()
        batches = decide(outlook, advances if costs else policy, limits)
        costs.append(time.process_time() - begun)
        site.send(batches)
        sent = batches
        site.run(len(site.queue))
    if site.complete.count != CASES:
        raise SystemExit(f"only {site.complete.count} of {CASES} cases are complete")
    rows = [
        ("submissions", str(len(site.asked)), ""),
        ("most in the queue", str(site.most_queued), str(MOST)),
        (
            "a decision (processor time), median",
            f"{1e3 * statistics.median(costs):.1f} ms",
            f"{BUDGET_MS} ms",
        ),
        ("a decision, longest", f"{1e3 * max(costs):.1f} ms", f"{BUDGET_MS} ms"),
    ]
    print(measuring.machine())
    measuring.show(f"{CASES:.0e} cases in chunks of {CHUNK}", ("what", "measured", "budget"), rows)


if __name__ == "__main__":
    main()
