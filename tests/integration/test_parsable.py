"""`submit --parsable`: job ids alone, for those who chain jobs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulated import Emulated
from tests.support.small_site import Site

# Two arrays, as one holds 5 tasks.
SEVEN = """\
command: [sh, -c, 'until [ -e go ]; do sleep 0.1; done', '{x}']
chunk: 1
source: {grid: {x: {range: [0, 7]}}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "project"
    root.mkdir()
    with Emulated(tmp_path / "cluster", max_array_size=6) as cluster:
        yield Site(root, cluster)


def test_standard_output_has_the_job_ids_alone(site: Site) -> None:
    manifest = site.manifest(SEVEN)
    first = site.run("submit", manifest, "--parsable")
    ids = first.stdout.splitlines()
    assert (first.returncode, len(ids)) == (0, 2)
    assert all(site.cluster.rows(int(job)) for job in ids)
    assert "submission 1, 7 cases" in first.stderr

    # Behind them, a job of the user's own.
    behind = site.cluster.submit(f"--dependency=afterany:{':'.join(ids)}", "--wrap", "true")
    assert site.cluster.states(behind) == {str(behind): "PENDING"}

    assert site.run("submit", manifest, "--parsable").stdout.splitlines() == ids
    (site.root / "go").touch()
    site.cluster.wait_for(behind, "COMPLETED")
    site.wait_for(complete=7)
    assert site.run("submit", manifest, "--parsable").stdout == ""


def test_a_waiting_submit_says_the_rest_on_standard_error(site: Site) -> None:
    (site.root / "go").touch()
    waited = site.run("submit", site.manifest(SEVEN), "--parsable", "--wait")
    assert len(waited.stdout.splitlines()) == 2
    assert all(site.cluster.rows(int(job)) for job in waited.stdout.splitlines())
    assert "s: 7 complete of 7" in waited.stderr


@pytest.mark.parametrize("option", ["--dry-run", "--chaos=1"])
def test_without_a_submission_there_are_no_job_ids(site: Site, option: str) -> None:
    said = site.hpcsweep("submit", site.manifest(SEVEN), "--parsable", option, code=2)
    assert "--parsable needs a submission" in said
