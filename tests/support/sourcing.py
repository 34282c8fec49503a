"""Shared parts of the tests of sources: golden values, refusals, the form that a worker reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import HpcsweepError, SourceError
from hpcsweep.sources import ParameterSource, source_from_manifest_dict

GOLDEN = json.loads((Path(__file__).parents[1] / "data/golden/sources.json").read_text("utf-8"))

# Named by references, as a user's own would be.
OWN_CASES = [{"a": 1}, {"a": 2}]


@dataclass
class Square:
    """A distribution of a user's own."""

    low: float

    def ppf(self, u: float) -> float:
        """The inverse of its distribution function."""
        return self.low + u * u


def same(params: dict[str, Any]) -> dict[str, Any]:
    """A function for `derive`."""
    return params


def refused(make: Callable[[], object], *words: str) -> HpcsweepError:
    """The error of `make`, which must be a SourceError with all these words in its text."""
    with pytest.raises(SourceError) as caught:
        make()
    for piece in words:
        assert piece in str(caught.value)
    assert caught.value.where
    assert caught.value.next_step
    return caught.value


def frozen(source: ParameterSource, directory: Path) -> ParameterSource:
    """The source as a worker gets it."""
    source.write_frozen(directory)
    return source_from_manifest_dict(json.loads(json.dumps(source.to_frozen_dict())), directory)
