"""Doctor: check what a sweep needs, here and, on request, on a compute node."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcsweep import __version__
from hpcsweep.cluster import process, registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import SingleJob
from hpcsweep.cluster.limits import NOTHING
from hpcsweep.errors import ClusterUnavailable, HpcsweepError
from hpcsweep.files import make_directory, remove_tree, token
from hpcsweep.quantities import counted
from hpcsweep.records import Resources
from hpcsweep.settings import Settings
from hpcsweep.state.failing_nodes import site_note
from hpcsweep.store.filesystem import filesystem_type, is_local
from hpcsweep.submission.bytecode import compiled_at_each_start
from hpcsweep.submission.limits import limits_for, summary
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.sweepdir.nodes import node_facts
from hpcsweep.sweepdir.removed import removed_name, unfinished_removals

PACKAGES = (
    "numpy",
    "sqlalchemy",
    "pydantic",
    "click",
    "rich",
    "jinja2",
    "pyyaml",
    "psycopg",
    "submitit",
)
# A task that names no options.
ANY_TASK = Resources()
# Free space below these is a warning,
FEW_BYTES = 2**30
FEW_FILES = 10_000
# and so is use of more than this share of a quota.
NEARLY_ALL = 0.9
# Seconds to wait for the answer of a job on a compute node, its time in the queue included.
NODE_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check.

    Examples:
        >>> all(isinstance(finding, hs.Finding) for finding in sweep.doctor())
        True
    """

    # Name of the host that was checked.
    host: str
    what: str
    # "ok", "warning" or "problem".
    state: str
    text: str

    def to_json(self) -> dict[str, str]:
        """The part of `doctor --json`.

        Examples:
            >>> found = hs.Finding(host="login1", what="quota", state="ok", text="80 GB free")
            >>> found.to_json()["state"]
            'ok'
        """
        return asdict(self)


# Returns whether the check passed, and a text.
Check = Callable[[], tuple[bool, str]]


def local(outputs: Path, checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Check this host: versions, file system, quota, and a sweep's own `checks`."""
    yield _finding("versions", "ok", _versions())
    compiled = compiled_at_each_start()
    if compiled:
        yield _finding("bytecode", "warning", compiled)
    yield _file_system(outputs)
    yield from _quota(outputs)
    for left in unfinished_removals(outputs):
        name = removed_name(left.name) or left.name
        remove = f"hpcsweep rm {argument_for(name, str(outputs / name))}"
        text = f"a removal or copy of {name} was interrupted: `{remove}` removes the rest"
        yield _finding("leftovers", "warning", text)
    for what, check in checks.items():
        try:
            is_well, text = check()
        except HpcsweepError as error:
            is_well, text = False, str(error)
        yield _finding(what, "ok" if is_well else "problem", text)


def cluster(
    kind: str,
    settings: Settings,
    outputs: Path,
    resources: Resources = ANY_TASK,
    own: Mapping[str, int] = NOTHING,
) -> Iterator[Finding]:
    """Check that the cluster answers, and report its limits for a task with these resources.

    `own`: the limits that the user sets.
    """
    try:
        opened = registry.choose(kind, settings, outputs)
        limits = limits_for(opened, resources, own)
    except HpcsweepError as error:
        yield _finding("cluster", "problem", str(error))
        return
    arrays = f"array task ids up to {limits.max_array_size - 1}"
    if limits.max_array_size == 0:
        arrays = "no job arrays"
    text = (
        f"{opened.kind} {limits.cluster_name}, {arrays}, {limits.kill_wait_s:g} s from TERM to KILL"
    )
    if limits.max_tasks is not None:
        most = counted(limits.max_tasks, "array task")
        text = f"{opened.kind} {limits.cluster_name}, {most} at most"
    yield _finding("cluster", "ok", text)
    for note in limits.notes:
        yield _finding("cluster", "warning", note)
    if limits.ceilings or limits.max_jobs is not None:
        yield _finding("limits", "ok", summary(limits))
    for what in limits.unread:
        yield _finding("limits", "warning", f"not known: {what}")
    for excess in limits.impossible:
        yield _finding(
            "limits", "problem", f"slurm.{excess.option} {excess.what}. {excess.next_step}"
        )


def nodes(sweep: SweepDirectory) -> Iterator[Finding]:
    """The nodes that a sweep no longer uses: a note for their administrators each."""
    for fact in node_facts(sweep.path):
        yield _finding("nodes", "warning", site_note(fact))


def on_node(opened: Cluster, arguments: list[str], outputs: Path) -> list[Finding]:
    """Check a compute node, by a small job.

    *Raises* ClusterError; ClusterUnavailable without an answer in time.
    *Writes* a temporary directory in `outputs`, which the node must see.
    """
    folder = make_directory(outputs.resolve() / f".doctor.{token()}")
    try:
        answer = folder / "answer.json"
        command = [sys.executable, "-m", "hpcsweep", "doctor", "--here", "--json", *arguments]
        text = f"#!/bin/bash\n{shlex.join(command)} > {shlex.quote(str(answer))}.part\n"
        text += f"mv {shlex.quote(str(answer))}.part {shlex.quote(str(answer))}\n"
        (folder / "job.sh").write_text(text)
        job = SingleJob(
            name="hpcsweep-doctor", script=str(folder / "job.sh"), output=str(folder / "job.log")
        )
        job_id = opened.submit_job(job)
        deadline = time.monotonic() + NODE_TIMEOUT_S
        while answer.name not in os.listdir(folder):  # noqa: PTH208  # listing defeats NFS caches
            if time.monotonic() > deadline:
                opened.cancel([job_id])
                raise ClusterUnavailable(
                    f"job {job_id} did not answer in {NODE_TIMEOUT_S:g} s, and was cancelled",
                    next_step="Try it when the queue is shorter, or without --node.",
                )
            time.sleep(0.5)
        return [Finding(**finding) for finding in json.loads(answer.read_bytes())]
    finally:
        remove_tree(folder)


def _finding(what: str, state: str, text: str) -> Finding:
    return Finding(host=os.uname().nodename, what=what, state=state, text=text)


def _versions() -> str:
    versions = [f"hpcsweep {__version__}"]
    versions += [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


def _file_system(outputs: Path) -> Finding:
    path = _existing(outputs)
    kind = filesystem_type(path) or "unknown"
    state = os.statvfs(path)
    free_bytes, free_files = state.f_bavail * state.f_frsize, state.f_favail
    # Some file systems do not count files: 0 of 0.
    files = f", {free_files:,} files" if state.f_files else ""
    text = f"{path} is on {kind}, {free_bytes / 2**30:.1f} GiB{files} free"
    if not is_local(path):
        text += "; shared between hosts, so tasks leave a SQLite index to commands"
    few = free_bytes < FEW_BYTES or (state.f_files and free_files < FEW_FILES)
    return _finding("file system", "warning" if few else "ok", text)


def _quota(outputs: Path) -> Iterator[Finding]:
    """The quotas of bytes and files that `lfs quota` or `quota` reports, where a site has them."""
    path = _existing(outputs)
    # With --raw-grace the column of the grace time is never empty.
    argv = ["quota", "--show-mntpoint", "--no-wrap", "--raw-grace"]
    if filesystem_type(path) == "lustre":
        argv = ["lfs", "quota", "-q", "-u", str(os.getuid()), str(path)]
    if shutil.which(argv[0]) is None:
        yield _finding("quota", "ok", f"not known: there is no `{argv[0]}` here")
        return
    try:
        answer = process.run(argv, os.environ, 20.0)
    except HpcsweepError as error:
        yield _finding("quota", "warning", str(error))
        return
    matches = [_used(match) for match in _QUOTA.finditer(answer.stdout)]
    if not matches:
        yield _finding("quota", "ok", "none" if answer.returncode == 0 else answer.stderr.strip())
    for text, full in matches:
        yield _finding("quota", "warning" if full else "ok", text)


# A file system, then kB and files: used (`*`: too many), quota, limit, grace time. Long names wrap.
_NUMBERS = r"\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\S+"
_QUOTA = re.compile(rf"(\S*/\S*){_NUMBERS}{_NUMBERS}")


def _used(match: re.Match[str]) -> tuple[str, bool]:
    """The usage of a quota as text, and whether it is above `NEARLY_ALL`."""
    kilobytes, files = (tuple(map(int, match.groups()[at : at + 3])) for at in (1, 4))
    texts, full = [], False
    for (used, *limits), noun, unit in ((kilobytes, "GiB", 2**20), (files, "files", 1)):
        limit = min(filter(None, limits), default=0)
        shown = f"{used / unit:,.1f}" if unit > 1 else f"{used:,}"
        texts.append(
            f"{shown} of {limit / unit:,.0f} {noun}" if limit else f"{shown} {noun} without limit"
        )
        full |= bool(limit) and used > NEARLY_ALL * limit
    return f"{match[1]}: {', '.join(texts)}", full


def _existing(path: Path) -> Path:
    resolved = path.resolve()
    while not resolved.exists():
        resolved = resolved.parent
    return resolved
