"""A canary goes first: the other cases are sized by its measurements, or are not sent."""

from __future__ import annotations

import json
from typing import Any

from hpcsweep.indexset import IndexSet
from tests.support.small_site import Site, site
from tests.support.wait import wait_until

__all__ = ["site"]  # fixtures are found by their names

FUNCTION = "target: t.py:run\nsource: {grid: {x: {range: [0, 20]}}}\n"
COMMAND = "command: [sh, -c, 'test -e good', '{x}']\nsource: {grid: {x: {range: [0, 20]}}}\n"
BY_HAND = "closing: false\n"


def indices(plan: dict[str, Any]) -> str:
    return str(IndexSet.from_json(plan["indices"]))


def plans(site: Site) -> list[dict[str, Any]]:
    return site.plans()


def test_the_rest_follows_by_a_closing_job_in_chunks_of_what_was_measured(site: Site) -> None:
    (site.root / "t.py").write_text("def run(x): return {'y': x}\n")
    manifest = site.manifest(f"{FUNCTION}canary: 3\n")
    planned = site.hpcsweep("plan", manifest)
    assert "3 of 20, which go first: the canary" in planned
    assert "17 cases, by closing jobs, when the canary is over and one of its" in planned
    said = site.hpcsweep("submit", manifest)
    assert "submission 1, 3 cases in 3 array tasks" in said
    assert "17 more cases are sent when the canary is over and one of its cases complete" in said
    site.wait_for(complete=20)
    first, rest = plans(site)
    assert (indices(first), first["canary"], first["chunk_size"]) == ("0,9,19", True, 1)
    assert (indices(rest), rest.get("canary"), rest["chunk_size"]) == ("1-8,10-18", None, 17)
    assert rest["seconds_from"] == "canary"
    assert rest["options"]["time"] == "00:10:00"
    assert rest["options"]["mem"].endswith("M")
    assert 0 < rest["case_seconds"] < 60
    assert set(site.completions().values()) == {1}
    log = site.root / "outputs/s/logs/0001/closing-0.log"
    wait_until(lambda: "its tasks ask for mem" in log.read_text(), 30, "its log")
    assert "the mean of the canary's complete cases" in log.read_text()
    assert '"canary": null' in site.hpcsweep("status", "s", "--json")


def test_when_all_of_it_fails_nothing_more_is_sent_and_a_digest_says_why(site: Site) -> None:
    manifest = site.manifest(f"{COMMAND}canary: 2\n{BY_HAND}")
    said = site.hpcsweep("submit", manifest, "--wait", code=9)
    assert "There are no closing jobs (closing: false). `hpcsweep advance" in said
    why = "s is stopped: no case of the canary is complete (2 exit_code)"
    assert why in said
    assert "2 × exit_code" in said
    assert not list((site.root / "outputs/s/submissions/0001").glob("closing*"))
    assert [indices(plan) for plan in plans(site)] == ["0,19"]
    shown = site.hpcsweep("status", "s")
    assert "canary: 0 of 2 cases complete; 18 cases are not sent" in shown
    assert why in shown
    assert json.loads(site.hpcsweep("status", "s", "--json"))["stopped"]["canary"] is True
    assert why in site.hpcsweep("advance", "s")
    # A user goes on: by another canary, which passes, as the program is mended.
    (site.root / "good").touch()
    said = site.hpcsweep("submit", manifest, "--wait", code=9)
    assert "not every case is complete: 18 complete, 2 failed of 20" in said
    assert [indices(plan) for plan in plans(site)] == ["0,19", "1,18", "2-17"]


def test_a_command_that_crashes_at_once_costs_one_case(site: Site) -> None:
    """Of a command one case goes first, unless nobody could send the others."""
    said = site.hpcsweep("submit", site.manifest(COMMAND))
    assert "submission 1, 1 case in 1 array task" in said
    assert "19 more cases are sent when the canary is over" in said
    assert "(`submit --canary 0` sends them now)" in said
    wait_until(lambda: "is stopped" in site.hpcsweep("status", "s"), 60, "the closing job's word")
    assert site.status() == {"pending": 19, "failed": 1}
    assert "s is stopped: no case of the canary is complete (1 exit_code)" in site.hpcsweep(
        "advance", "s"
    )
    assert [indices(plan) for plan in plans(site)] == ["0"]
    for more, is_first in (("", True), (BY_HAND, False)):
        said = site.hpcsweep("submit", site.manifest(COMMAND + more), "--dry-run")
        assert ("1 of 20, which go first: the canary" in said) == is_first
    # A corrected command mixes no results, since none exist.
    mended = site.manifest(COMMAND.replace("good", "right"))
    (site.root / "right").touch()
    assert "submission 2, 1 case " in site.hpcsweep("submit", mended)
    site.wait_for(complete=19, failed=1)
    refused = site.hpcsweep("submit", site.manifest(COMMAND), code=5)
    assert "old and new results would be mixed" in refused


def test_a_submit_beside_a_canary_waits_for_it_unless_told_otherwise(site: Site) -> None:
    slow = COMMAND.replace("test -e good", "sleep 60")
    site.hpcsweep("submit", site.manifest(f"{slow}{BY_HAND}"), "--canary", "2")
    said = site.hpcsweep("submit", "m.yaml", "--canary", "2")
    assert "s: nothing to submit now, 2 cases are under way and 18 wait for the canary" in said
    assert "canary: 0 of 2 cases complete, 2 under way; 18 cases wait" in site.hpcsweep(
        "status", "s"
    )
    assert "18 wait for the canary" in site.hpcsweep("advance", "s")
    said = site.hpcsweep("submit", "m.yaml", "--canary", "0")
    assert "submission 2" in said
    site.hpcsweep("cancel", "s")


def test_cases_that_are_added_while_a_canary_runs_follow_it_as_well(site: Site) -> None:
    (site.root / "t.py").write_text(
        "import time\nfrom pathlib import Path\n\ndef run(x):\n"
        "    while not (Path(__file__).parent / 'go').exists():\n        time.sleep(0.05)\n"
        "    return {'y': x}\n"
    )
    site.hpcsweep("submit", site.manifest(f"{FUNCTION}canary: 2\n"))
    grown = site.manifest(FUNCTION.replace("20", "25") + "canary: 2\n")
    for _ in range(2):  # the second time nothing is new
        said = site.hpcsweep("submit", grown)
        assert "nothing to submit now, 2 cases are under way and 23 wait for the canary" in said
    assert "2 under way, 23 wait for the canary" in site.hpcsweep("plan", grown)
    assert [len(plan["parts"]) for plan in plans(site)] == [1, 0]
    (site.root / "go").touch()
    site.wait_for(complete=25)
    assert set(site.completions().values()) == {1}
