"""The key `limits` of a manifest and of a profile."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsweep.manifest.policies import Policies
from hpcsweep.manifest.user import load_manifest
from tests.support.manifests import GOOD, Load, Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names

EVERY = (
    "limits: {max_submit: 200, max_array_size: 0, submissions_per_hour: 2, "
    'time: "24:00:00", mem: 180G, nodes: 2, cpus: 64, gpus: 0}'
)


def test_every_key_arrives_in_seconds_and_bytes(load: Load) -> None:
    found = Policies.from_json(load(GOOD + EVERY).policies)
    assert found == Policies(
        limits={
            "max_submit": 200,
            "max_array_size": 0,
            "submissions_per_hour": 2,
            "time": 86400,
            "mem": 180 << 30,
            "nodes": 2,
            "cpus": 64,
            "gpus": 0,
        }
    )
    assert Policies.from_json(found.to_json()) == found
    assert not found.closes


def test_a_profile_overrides_key_by_key_and_the_command_line_both(write: Write) -> None:
    path = write(f"{GOOD}limits: {{max_submit: 200, cpus: 8, nodes: 1}}")
    profile: dict[str, Any] = {"limits": {"cpus": 16, "nodes": 2}}
    overrides = {"limits.nodes": 3}
    manifest, _ = load_manifest(path, profile=profile, overrides=overrides)
    assert Policies.from_json(manifest.policies).limits == {
        "max_submit": 200,
        "cpus": 16,
        "nodes": 3,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "limits: 200",
            "limits: is the number 200, not a mapping. Write, for example, max",
        ),
        (
            "limits: {max_submit: 0}",
            "limits.max_submit: is the number 0. Write a whole number from 1",
        ),
        ("limits: {max_submit: true}", "limits.max_submit: is true."),
        ("limits: {submissions_per_hour: 1}", "is the number 1. Write a whole number from 2 on."),
        ("limits: {mem: 0}", "limits.mem: is the number 0, not an amount of memory."),
        ("limits: {time: soon}", "limits.time: is the text 'soon', not a time limit."),
        ("limits: {max_submits: 3}", "limits.max_submits: unknown key. Did you mean 'max_submit'?"),
    ],
)
def test_mistakes(mistakes: Any, text: str, message: str) -> None:
    (found,) = mistakes(GOOD + text)
    assert message in found
