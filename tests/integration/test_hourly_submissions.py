"""A site that lets a user call sbatch only so many times in an hour."""

from __future__ import annotations

from tests.support.small_site import Site, site

__all__ = ["site"]  # fixtures are found by their names

# Compute nodes may not submit: the partition for closing jobs is not there.
FEW = """command: [echo, "{x}"]
source: {grid: {x: {range: [0, 26]}}}
chunk: 2
canary: 0
closing: {partition: nonesuch}
limits: {submissions_per_hour: 3}
"""


def test_what_is_more_than_an_hour_allows_follows_later(site: Site) -> None:
    said = site.hpcsweep("submit", site.manifest(FEW))
    assert "submission 1, 10 cases in 5 array tasks" in said  # one array, and its closing job
    site.wait_for(complete=10, pending=16)
    assert "no room; 16 cases are sent later" in site.hpcsweep("advance", "s")
    said = site.hpcsweep("submit", "m.yaml", code=6)
    assert "limits.submissions_per_hour is 3, and 2 calls of sbatch were made in the last" in said
    assert len(site.plans()) == 1
    # The calls of one sweep count for another.
    (site.root / "other.yaml").write_text(f"name: other\n{FEW}")
    assert "limits.submissions_per_hour is 3" in site.hpcsweep("submit", "other.yaml", code=6)
    more = ("--set", "limits.submissions_per_hour=100")
    assert "16 cases in 8 array tasks" in site.hpcsweep("submit", "m.yaml", *more)
    site.wait_for(complete=26)


def test_a_plan_shows_how_many_calls_are_left(site: Site) -> None:
    said = site.hpcsweep("submit", site.manifest(FEW), "--dry-run")
    assert "3 more calls of sbatch in this hour" in said
    assert "16 cases, by closing jobs" in said
