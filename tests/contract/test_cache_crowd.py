"""The cache under a crowd: every result is made once, whoever else wants it and whoever dies."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support import crowd
from tests.support.backends import Backend, direct_backend
from tests.support.caching import url_of
from tests.support.fixtures import Scale
from tests.support.postgres import database, postgres

__all__ = ["database", "direct_backend", "postgres"]

PARAMS = 4
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

    Returns what was left besides, by whoever was killed while giving a claim up.
    """
    store = crowd.cache(place, url_of(backend))
    assert {(str(record.round), str(record.x)) for record in store.list()} == wanted
    assert store.rebuild() == len(wanted)
    left = {path.name for path in (place / "results" / ".claims").iterdir()}
    assert {name for name in left if not name.startswith((".gone.", ".new."))} == set()
    return left


@pytest.mark.parametrize("rule", ["same", "disjoint"])
@pytest.mark.parametrize("processes", [4, 16])
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
@pytest.mark.parametrize("processes", [4, 16])
def test_one_is_killed_in_each_round(
    direct_backend: Backend, tmp_path: Path, scale: Scale, processes: int, rule: str
) -> None:
    """The others, or it again, make what it was making, and nothing else twice."""
    rounds = scale(2, 50)
    made = play(tmp_path, direct_backend, processes, rounds, rule, "kill")
    count = PARAMS * (1 if rule == "same" else processes)
    wanted = {(str(at), str(x)) for at in range(rounds) for x in range(count)}
    assert made.keys() == wanted
    assert made.total() <= len(wanted) + rounds
    assert len(check_all_there(tmp_path, direct_backend, wanted)) <= rounds
