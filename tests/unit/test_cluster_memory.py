"""`cluster.json`: any content that is not valid counts as an empty file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcsweep.state.cluster_memory import ClusterMemory, read_memory


@pytest.mark.parametrize("name", sorted(ClusterMemory.__optional_keys__))
def test_every_field_is_checked(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({name: None}))
    assert read_memory(path) == {name: None}
    path.write_text(json.dumps({name: [[]]}))
    assert read_memory(path) == {}
