"""Arrays as a submission hands them to a cluster."""

from __future__ import annotations

from typing import Any

from hpcsweep.cluster.jobs import Array
from hpcsweep.records import Part


def array(part: Part, **fields: Any) -> Array:
    """Make an array of this part; fields that are not given get some value."""
    values: dict[str, Any] = {
        "job_name": "n",
        "script": "s",
        "logs": "/o",
        "directory": "/d",
        "options": {},
    }
    return Array(part=part, **(values | fields))
