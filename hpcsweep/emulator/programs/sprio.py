"""sprio: it has no priorities to show, like on a cluster with priority/basic."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.emulator.programs import options

TABLE = options.table(
    "noheader,h !federation !local !sibling help jobs,j: long,l !cluster,M: !clusters,M: norm,n "
    "format,o: partition,p: sort,S: user,u: verbose,v version,V weights,w usage"
)


def main(_: Path, argv: list[str]) -> int:
    """Refuse; newer versions show the head of an empty table."""
    pairs, _operands = options.Getopt("sprio", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("sprio", "", TABLE, given):
        return 0
    if options.version().since("24.11"):
        if "noheader" not in given:
            print("          JOBID PARTITION   PRIORITY       SITE")
        if "jobs" in given:
            print("Unable to find jobs matching user/id(s) specified")
        return 0
    options.to_stderr("You are not running a supported priority plugin\n(priority/basic).")
    options.to_stderr("Only 'priority/multifactor' is supported.")
    return 1
