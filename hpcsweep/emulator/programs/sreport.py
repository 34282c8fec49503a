"""sreport: reports without rows, because the emulator has no daily rollup."""

from __future__ import annotations

import time
from pathlib import Path

from hpcsweep.emulator import times
from hpcsweep.emulator.programs import options, tabular

TABLE = options.table(
    "all_clusters,a !federation help,h !local noheader,n parsable,p parsable2,P quiet,Q t: tres,T: "
    "usage verbose,v version,V"
)
_LINE = "-" * 80
_UTILIZATION = (
    ("Cluster", 9),
    ("Allocate", 8),
    ("Down", 8),
    ("PLND Dow", 8),
    ("Idle", 8),
    ("Planned", 8),
    ("Reported", 8),
)
_USERS = (
    ("Cluster", 9),
    ("Account", 15),
    ("Login", 9),
    ("Proper Name", 15),
    ("Used", 8),
    ("Energy", 8),
)
_TOP = (
    ("Cluster", 9),
    ("Login", 9),
    ("Proper Name", 15),
    ("Account", 15),
    ("Used", 8),
    ("Energy", 8),
)
_SIZES = (
    ("Cluster", 9),
    ("Account", 9),
    ("0-49 CPUs", 13),
    ("50-249 CPUs", 13),
    ("250-499 CPUs", 13),
    ("500-999 CPUs", 13),
    (">= 1000 CPUs", 13),
    ("% of cluster", 12),
)
# Kind and report: title, columns, and whether times of jobs are shown instead of CPU time.
_REPORTS = {
    ("cluster", "utilization"): ("Cluster Utilization", _UTILIZATION, False),
    ("cluster", "accountutilizationbyuser"): ("Cluster/Account/User Utilization", _USERS, False),
    ("cluster", "userutilizationbyaccount"): ("Cluster/User/Account Utilization", _TOP, False),
    ("user", "topusage"): ("Top 10 Users", _TOP, False),
    ("job", "sizesbyaccount"): ("Job Sizes", _SIZES, True),
}
_NAMES = {
    "cluster": '"AccountUtilizationByUser", "UserUtilizationByAccount", "UserUtilizationByWckey", '
    '"Utilization", and "WCKeyUtilizationByUser"',
    "job": '"SizesByAccount", "SizesByAccountAndWckey", and "SizesByWckey"',
    "user": '"TopUsage"',
}
_UNITS = {"s": "Seconds", "m": "Minutes", "h": "Hours"}


def main(_: Path, argv: list[str]) -> int:
    """Print a report: yesterday's, unless `start=` and `end=` are given."""
    argv = [word.replace("--time", "-t") for word in argv]
    pairs, words = options.Getopt("sreport", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("sreport", "[REPORT [ARGUMENT...]]", TABLE, given):
        return 0
    if not words:
        options.refuse("sreport", "interactive mode")
    kind = words[0].lower()
    if kind not in _NAMES:
        options.to_stderr(f"invalid keyword: {words[0]}")
        return 1
    report = _REPORTS.get((kind, words[1].lower() if len(words) > 1 else ""))
    if report is None:
        options.to_stderr(f"Not valid report {' '.join(words[1:2])}")
        names = _NAMES[kind]
        if options.version().since("24.11"):
            names = names.replace('ByUser", ', 'ByUser", "AccountUtilizationByQOS", ', 1)
        options.to_stderr(f"Valid {kind} reports are, {names}")
        return 1
    _show(report, words[2:], given)
    return 0


def _show(
    report: tuple[str, tuple[tuple[str, int], ...], bool], words: list[str], options: dict[str, str]
) -> None:
    title, columns, of_jobs = report
    given = dict(word.lower().split("=", 1) for word in words if "=" in word)
    midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
    since = times.moment(given.get("start", ""), time.time()) or midnight - 86400
    until = min(times.moment(given.get("end", ""), time.time()) or midnight, midnight)
    unit = _UNITS.get(options.get("t", "m")[:1].lower(), "Minutes")
    usage = f"Time reported in {unit}" if of_jobs else f"Usage reported in CPU {unit}"
    length = "" if title == "Cluster Utilization" else f" ({until - since:.0f} secs)"
    if "noheader" not in options:
        print(f"{_LINE}\n{title} {times.stamp(since, '')} - {times.stamp(until - 1, '')}{length}")
        print(f"{usage}\n{_LINE}")
    tabular.show(columns, [], options)
