"""Many processes at one cache: each result is made once, also when some of them are killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import crowd
from tests.support.backends import Backend, direct_backend
from tests.support.caching import url_of
from tests.support.fixtures import Scale
from tests.support.postgres import database, postgres

__all__ = ["database", "direct_backend", "postgres"]

PARAMS = 4
# Few processes meet at other moments than many, rarely at any that many do not.
CROWDS = [pytest.param(4, marks=pytest.mark.soak), 16]
Made = Counter[tuple[str, str]]


def play(place: Path, backend: Backend, processes: int, rounds: int, *rules: str) -> Made:
    """Play rounds; how often the runner was called, by round and x."""
    figures = map(str, (processes, rounds, PARAMS))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.crowd",
            str(place),
            url_of(backend),
            *figures,
            *rules,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = (place / "calls").read_text().splitlines()
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def check_all_there(place: Path, backend: Backend, wanted: set[tuple[str, str]]) -> set[str]:
    """No row is missing, in the table nor among the entries, and no claim is left.

    Returns what else was left, by processes that were killed while they released a claim.
    """
    store = crowd.cache(place, url_of(backend))
    assert {(str(record.round), str(record.x)) for record in store.list()} == wanted
    assert store.rebuild() == len(wanted)
    left = {path.name for path in (place / "results" / ".claims").iterdir()}
    assert {name for name in left if not name.startswith((".gone.", ".new."))} == set()
    return left


@pytest.mark.parametrize("rule", ["same", "disjoint"])
@pytest.mark.parametrize("processes", CROWDS)
def test_e10_e11_e12_every_result_is_made_once(
    direct_backend: Backend, tmp_path: Path, scale: Scale, processes: int, rule: str
) -> None:
    """4 and 16 processes, the same and other params, round after round."""
    rounds = scale(3, 50)
    made = play(tmp_path, direct_backend, processes, rounds, rule, "spare")
    count = PARAMS * (1 if rule == "same" else processes)
    wanted = {(str(at), str(x)) for at in range(rounds) for x in range(count)}
    assert made == dict.fromkeys(wanted, 1)
    assert check_all_there(tmp_path, direct_backend, wanted) == set()


@pytest.mark.parametrize("rule", ["same", "disjoint"])
@pytest.mark.parametrize("processes", CROWDS)
def test_one_is_killed_in_each_round(
    direct_backend: Backend, tmp_path: Path, scale: Scale, processes: int, rule: str
) -> None:
    """The others, or its next start, make its result, and no other result twice."""
    rounds = scale(2, 50)
    made = play(tmp_path, direct_backend, processes, rounds, rule, "kill")
    count = PARAMS * (1 if rule == "same" else processes)
    wanted = {(str(at), str(x)) for at in range(rounds) for x in range(count)}
    assert made.keys() == wanted
    assert made.total() <= len(wanted) + rounds
    assert len(check_all_there(tmp_path, direct_backend, wanted)) <= rounds


def test_rows_in_different_orders_do_not_wait_for_each_other(
    direct_backend: Backend, tmp_path: Path
) -> None:
    """Two that put the same rows into the table, many at once, one from each end."""
    store = crowd.cache(tmp_path, url_of(direct_backend))
    table = store._table  # noqa: SLF001
    store.register({"round": 0, "x": 0}, Path(__file__))
    (row,) = table.matching({})
    rows = [row | {"id": f"{x:016x}", "x": x} for x in range(500)]
    together = threading.Barrier(2)
    table._database._patience_s = 0.0  # noqa: SLF001  # a deadlock would be tried again

    def put(mine: list[dict[str, Any]]) -> int:
        together.wait(60)
        return sum(len(table.upsert(mine)) for _ in range(5))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(put, [rows, rows[::-1]])) == [2500, 2500]
