"""The limits of sites in the user's cache: a file for each ClusterName, derived, never needed."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from hpcsweep.cluster.slurm.site import SiteAnswers
from hpcsweep.errors import SweepError
from hpcsweep.field_checks import NUMBER, TEXT, TEXTS, by_name, mismatch, schema
from hpcsweep.files import (
    DOCUMENT_MAX,
    json_bytes,
    make_directory,
    names,
    parse_json,
    read_regular,
    replace,
)
from hpcsweep.settings import cache_home

_KEPT = schema(
    {
        "time": NUMBER,
        "configuration": by_name(TEXT),
        "output": by_name(TEXT),
        "failed": by_name(TEXT),
        "addresses": TEXTS,
    }
)
# A ClusterName as the name of a file.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
# Addresses of one cluster that are kept: a compute node reaches it by another one than its login.
_ADDRESSES_MAX = 8


class KeptAnswers(SiteAnswers):
    """The document in a file."""

    # `Slurm.address` of those who wrote it.
    addresses: list[str]


def read(name: str) -> KeptAnswers | None:
    """The last answers of a cluster; None if there are none, or damaged ones."""
    if not _NAME.fullmatch(name):
        return None
    try:
        answers: KeptAnswers = parse_json(read_regular(_path(name), DOCUMENT_MAX))
    except (OSError, ValueError):
        return None
    return None if mismatch(answers, _KEPT) else answers


def read_new(name: str, limits_age_s: float) -> KeptAnswers | None:
    """The answers of a cluster that are younger than `limits_age_s`; None without any."""
    kept = read(name) if limits_age_s else None
    is_new = kept is not None and 0 <= time.time() - kept["time"] < limits_age_s
    return kept if is_new else None


def write(name: str, address: str, answers: SiteAnswers) -> None:
    """Keep the answers of a cluster, if this user can keep anything."""
    if not _NAME.fullmatch(name):
        return
    before = read(name)
    addresses = [address, *(old for old in before["addresses"] if old != address)] if before else []
    kept: KeptAnswers = {**answers, "addresses": addresses[:_ADDRESSES_MAX] or [address]}
    with contextlib.suppress(SweepError, OSError):  # some accounts have no home
        make_directory(_path(name).parent)
        replace(_path(name), json_bytes(kept))


def find(address: str) -> KeptAnswers | None:
    """The newest answers of the cluster at an address; None if there are none."""
    every = (read(name.removesuffix(".json")) for name in names(cache_home() / "sites"))
    matches = (kept for kept in every if kept is not None and address in kept["addresses"])
    return max(matches, key=lambda kept: kept["time"], default=None)


def _path(name: str) -> Path:
    return cache_home() / "sites" / f"{name}.json"
