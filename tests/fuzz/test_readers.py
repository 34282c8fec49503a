"""The reader of a damaged file ends with a value, or with an error that names the damage."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep.errors import HpcsweepError
from tests.support.damage import damaged, spoiled, text_of
from tests.support.readers import HERE, Reader, make_readers, try_reader

NAMES = (
    *("sweep.json", "plan.json", "intent", "job", "cluster.json", "manifest", "cases.jsonl"),
    *("cases.idx", "journal", "journal alone", "metadata.json", "params.yaml"),
    *("artifacts/metrics.json", "data/a.npy", "data/b.npz", "steps", "pack", "pack index"),
    *("index marks", "checkpoint", "arrays", "claim", "emulator"),
    *("turn", "events", "index.csv", "shelf entry", "shelf mark"),
)


@pytest.fixture(scope="module")
def readers() -> Iterator[dict[str, Reader]]:
    with tempfile.TemporaryDirectory(prefix="hf-", dir=HERE) as root:
        yield make_readers(Path(root))


def test_every_reader_has_its_turn(readers: dict[str, Reader]) -> None:
    assert set(readers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_undamaged_files_are_read(readers: dict[str, Reader], name: str) -> None:
    assert try_reader(readers[name], readers[name].path.read_bytes()) == ""


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=settings().max_examples // 10)
@given(data=st.data())
def test_a_reader_ends(readers: dict[str, Reader], name: str, data: st.DataObject) -> None:
    reader = readers[name]
    whole = reader.path.read_bytes()
    if reader.is_json and data.draw(st.booleans()):
        try_reader(reader, text_of(data.draw(spoiled(json.loads(whole)))))
    else:
        try_reader(reader, data.draw(damaged(whole)))


@pytest.mark.timeout(60)  # nothing looks at the clock while it waits for a pipe's writer
@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_does_not_block_a_reader(readers: dict[str, Reader], name: str) -> None:
    path = readers[name].path
    aside = path.rename(path.with_name("aside"))
    os.mkfifo(path)
    try:
        with contextlib.suppress(HpcsweepError):
            readers[name].read()
    finally:
        aside.rename(path)
