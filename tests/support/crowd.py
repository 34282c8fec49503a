"""Processes that use one cache at once, with the same params or each with its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from hpcsweep import Base, Mapped, Store
from tests.support.wait import wait_until

# Seconds that a run takes, so that others come while it lasts.
RUN_S = 0.02
WAIT_S = 120


class Crowded(Base):
    """A case of a round."""

    __tablename__ = "crowd"
    round: Mapped[int]
    x: Mapped[int]


def note(path: Path, line: str) -> None:
    """Append a line with one write, so concurrent lines do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def cache(place: Path, url: str) -> Store[Crowded]:
    """The cache of a crowd, whose runner notes each call in `calls`."""

    def runner(params: dict[str, Any]) -> None:
        note(place / "calls", f"{params['round']} {params['x']} {os.getpid()}")
        threading.Event().wait(RUN_S)
        Path(params["result_file"]).write_text(f"{params['round']} {params['x']}")

    return Store(runner, Crowded, place / "results", ".txt", url)


def cases(at: int, number: int, params: int, *, same: bool) -> list[dict[str, int]]:
    """The params of a process in a round: the shared ones, or its own."""
    first = 0 if same else number * params
    return [{"round": at, "x": first + x} for x in range(params)]


def take_part(place: Path, url: str, todo: list[dict[str, int]], *, sweeps: bool) -> None:
    """What one process does in one round."""
    store = cache(place, url)  # in the first round the table does not exist yet
    records = store.sweep(todo) if sweeps else [store.run_or_retrieve(params) for params in todo]
    texts = [Path(record.result_file).read_text() for record in records]
    assert texts == [f"{params['round']} {params['x']}" for params in todo]


def play(place: Path, url: str, todo: list[list[dict[str, int]]], *, kills: bool) -> list[int]:
    """One round, each process a fork; returns their exit codes. One may be killed as it runs."""
    gate, opened = os.pipe()
    children = []
    for number, params in enumerate(todo):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        os.close(opened)
        os.read(gate, 1)
        code = 1
        try:
            take_part(place, url, params, sweeps=bool(number % 2))
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    os.close(gate)
    os.close(opened)
    if kills:
        at = todo[0][0]["round"]
        wait_until(lambda: first_caller(place, at), WAIT_S, "the first run", poll_s=0.002)
        os.kill(first_caller(place, at), signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def first_caller(place: Path, at: int) -> int:
    """The process of the first run of a round; 0 before there is one."""
    path = place / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[2]) for line in lines if line.split()[0] == str(at)), 0)


def main(argv: list[str]) -> None:
    """Play rounds: PLACE URL PROCESSES ROUNDS PARAMS same|disjoint kill|spare.

    A killed process is started again at the end of the round, as its user would do.
    """
    place, url, processes, rounds, params = Path(argv[0]), argv[1], *map(int, argv[2:5])
    for at in range(rounds):
        todo = [cases(at, n, params, same=argv[5] == "same") for n in range(processes)]
        kills = argv[6] == "kill"
        codes = play(place, url, todo, kills=kills)
        killed = [own for own, code in zip(todo, codes, strict=True) if code == -signal.SIGKILL]
        again = play(place, url, killed, kills=False)
        if any(code not in (0, -signal.SIGKILL) for code in codes) or any(again):
            sys.exit(f"round {at}: exit codes {codes}, then {again}")
        if len(killed) != kills:
            sys.exit(f"round {at}: {len(killed)} were killed")


if __name__ == "__main__":
    main(sys.argv[1:])
