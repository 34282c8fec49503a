"""The notices of a submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.records import Resources
from hpcsweep.sources import grid
from hpcsweep.submission.notices import short_time_notice
from hpcsweep.submission.request import SubmitRequest

SHORT = "the time limit 00:30 is 30 s: sbatch reads it as minutes and seconds; 00:30:00 is 30 min"


@pytest.mark.parametrize(
    ("limit", "notice"),
    [
        ("00:30", SHORT),
        ("0:59", "the time limit 0:59 is 59 s: sbatch"),
        ("01:00", ""),
        ("00:00:30", ""),
        ("0-0:30", ""),
        ("30", ""),
        ("UNLIMITED", ""),
        ("", ""),
    ],
)
def test_a_limit_of_seconds_that_may_be_meant_as_minutes(limit: str, notice: str) -> None:
    source = grid(x=[1])
    manifest = FrozenManifest(
        name="s",
        root="/",
        target=Target(argv=("true",)),
        source=source.to_frozen_dict(),
        resources=Resources(options={"time": limit} if limit else {}),
    )
    request = SubmitRequest(manifest=manifest, source=source, path=Path("/s"))
    found = short_time_notice(request)
    assert found.startswith(notice)
    assert bool(found) == bool(notice)
