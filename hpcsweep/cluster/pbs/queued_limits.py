"""How many jobs a server of PBS and its queues take: the limits, and the queries that count. Pure.

They count jobs and elements of arrays that wait and, `max_queued`, those that run (23.06).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# One of `[u:PBS_GENERIC=10],[o:PBS_ALL=100]`; a name with a space is quoted.
_LIMIT = re.compile(r"""\[\s*([ugpo]):(".*?"|'.*?'|[^=\]]*?)\s*=\s*(\d+)\s*\]""")
_KINDS = {"u": "user", "g": "group", "p": "project", "o": "all"}
# For whom a limit does not name.
_OTHERS = "PBS_GENERIC"
# The project of a job that names none (23.06).
NO_PROJECT = "_pbs_project_default"
# The states that each limit counts, as letters for qselect.
_STATES = {"max_queued": "BEHQRSTUW", "queued_jobs_threshold": "HQTW"}


class QueuedLimit(NamedTuple):
    """A limit on jobs in a queue, or with "" on the server."""

    most: int
    attribute: str
    queue: str
    # "user", "group", "project" or "all".
    counts: str

    @property
    def name(self) -> str:
        """For people."""
        where = f"the queue {self.queue}" if self.queue else "the server"
        whom = "all" if self.counts == "all" else f"a {self.counts}"
        return f"{self.attribute} of {where} for {whom}"


def queued_limits(
    attributes: Mapping[str, str], queue: str, user: str, project: str
) -> Iterator[QueuedLimit]:
    """The limits in the attributes of a queue, or with "" of the server, that hold for a user.

    A limit for a name overrides the one for all others. Of groups every limit is given: which one
    the server takes for a user is not known here.
    """
    own = {"u": user, "p": project or NO_PROJECT, "o": "PBS_ALL"}
    for attribute in _STATES:
        lowest: dict[str, tuple[bool, int]] = {}
        for kind, quoted, most in _LIMIT.findall(attributes.get(attribute, "")):
            name = quoted.strip("\"'")
            if kind == "g":
                lowest[kind] = min(lowest.get(kind, (False, int(most))), (False, int(most)))
            elif name in (own[kind], _OTHERS):
                # False before True: that for the name wins.
                new = (name == _OTHERS, int(most))
                lowest[kind] = min(lowest.get(kind, new), new)
        for kind, (_, number) in lowest.items():
            yield QueuedLimit(number, attribute, queue, _KINDS[kind])


def qselect_counted(limit: QueuedLimit, user: str, project: str) -> list[str]:
    """Query the ids of the jobs and elements that a limit counts."""
    whom = {"user": ("-u", user), "project": ("-P", project or NO_PROJECT)}.get(limit.counts, ())
    where = ("-q", limit.queue) if limit.queue else ()
    return ["qselect", "-T", "-s", _STATES[limit.attribute], *whom, *where]


def count(stdout: str) -> int:
    """The jobs and elements in what qselect -T prints; an array is its elements."""
    return sum("[]" not in line for line in stdout.splitlines() if line.strip())
