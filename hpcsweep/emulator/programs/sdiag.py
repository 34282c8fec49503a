"""sdiag: the counters of the scheduler."""

from __future__ import annotations

import time
from pathlib import Path

from hpcsweep.emulator import client, names
from hpcsweep.emulator.messages import UNREACHABLE
from hpcsweep.emulator.programs import options
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "all,a help,h reset,r sort-by-id,i sort-by-time,t sort-by-time2,T !cluster,M: !json !yaml "
    "usage version,V"
)
_LINE = "*******************************************************"


def main(state_dir: Path, argv: list[str]) -> int:
    """Print the counters."""
    pairs, _ = options.Getopt("sdiag", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("sdiag", "", TABLE, given):
        return 0
    if "reset" in given:
        print("Reset scheduling statistics")
        return 0
    try:
        answer = client.ask(state_dir, {"do": "cluster"})
    except ClusterUnavailable:
        options.to_stderr(f"slurm_get_statistics: {UNREACHABLE}")
        return 1
    states = answer["states"]
    over = {name: count for name, count in states.items() if name in names.FINAL_STATES}
    waiting = states.get("PENDING", 0)
    print(f"{_LINE}\nsdiag output at {_stamp(answer['now'])}")
    print(f"Data since      {_stamp(answer['booted'])}\n{_LINE}")
    print("Server thread count:  1\nAgent queue size:     0\nAgent count:          0")
    print("Agent thread count:   0\nDBD Agent queue size: 0\n")
    print(f"Jobs submitted: {sum(states.values())}")
    print(f"Jobs started:   {sum(states.values()) - waiting}")
    print(f"Jobs completed: {sum(over.values())}")
    print(f"Jobs canceled:  {over.get('CANCELLED', 0)}")
    print(f"Jobs failed:    {over.get('FAILED', 0)}\n")
    print(f"Job states ts:  {_stamp(answer['now'])}")
    print(f"Jobs pending:   {waiting}\nJobs running:   {states.get('RUNNING', 0)}")
    return 0


def _stamp(when: float) -> str:
    return f"{time.strftime('%a %b %d %H:%M:%S %Y', time.localtime(when))} ({when:.0f})"
