"""The page *Provenance*: what was run, with which code and packages, where, and how it was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hpcsweep.errors import SweepError
from hpcsweep.files import end_of_text, read_json
from hpcsweep.manifest.frozen import FILE_NAME
from hpcsweep.report.source import ReportSource
from hpcsweep.submission.arrays import SCRIPT_NAME
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import PlanDocument, provenance_of

# Submissions that are listed: the newest ones.
SUBMISSIONS_MAX = 50
# Bytes of a script.
SCRIPT_BYTES = 1 << 16
# Digits of a digest in the table.
DIGEST_DIGITS = 12


def data(source: ReportSource) -> dict[str, Any]:
    """The manifest, the submissions, and the environment and script of the last one."""
    sweep = source.sweep
    numbers = sweep.submissions()
    facts, texts = _origin(sweep, numbers[-1]) if numbers else ([], [])
    manifest = source.open_sweep.outlook.version.manifest
    document = read_json(sweep.manifest_dir(manifest.fingerprint) / FILE_NAME)
    kept = {
        "name": "Manifest",
        "about": manifest.fingerprint,
        "text": json.dumps(document, indent=2),
    }
    return {
        "facts": [
            {"name": "Target", "value": manifest.target.text},
            {"name": "Code is in", "value": manifest.root},
            {"name": "Manifest", "value": manifest.fingerprint},
            *facts,
        ],
        "submissions": [_submission(sweep, number) for number in numbers[-SUBMISSIONS_MAX:]],
        "earlier": max(0, len(numbers) - SUBMISSIONS_MAX),
        "texts": [kept, *texts],
    }


def _submission(sweep: SweepDirectory, number: int) -> dict[str, Any]:
    """A row of the table of submissions."""
    plan, document = sweep.plan(number)
    facts = sweep.part_facts(number)
    jobs = [fact["job"]["job_id"] for _, fact in sorted(facts.items()) if "job" in fact]
    return {
        "number": number,
        "time": document.get("time", "").partition(".")[0].replace("T", " "),
        "cases": plan.indices.count,
        "cluster": _cluster(document),
        "jobs": ", ".join(jobs[:4]) + (" …" if len(jobs) > 4 else ""),
        "code": document.get("code_digest", "")[:DIGEST_DIGITS],
        "manifest": plan.manifest[:DIGEST_DIGITS],
    }


def _cluster(document: PlanDocument) -> str:
    """The cluster of a submission, in words."""
    cluster: Mapping[str, Any] = document.get("cluster", {})
    kind, name = cluster.get("kind", ""), cluster.get("name", "")
    version = document.get("slurm_version", "")
    what = f"{kind}, Slurm {version}" if version else kind
    return what if name in ("", kind) else f"{name} ({what})"


def _origin(
    sweep: SweepDirectory, number: int
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Facts and texts of what a submission ran with."""
    texts = []
    try:
        origin = read_json(sweep.path / provenance_of(number))
        facts = list(_facts(origin))
        git, packages = origin.get("git") or {}, origin.get("packages") or []
    except (SweepError, AttributeError, KeyError, TypeError) as error:
        facts = [{"name": "Environment", "value": f"is not known: {error}"}]
        git, packages = {}, []
    if git.get("diff"):
        size = f"{git.get('diff_bytes', 0)} bytes"
        texts.append({"name": "Changes since the commit", "about": size, "text": git["diff"]})
    if git.get("untracked"):
        about = f"{git.get('untracked_count', 0)} names"
        names = "\n".join(map(str, git["untracked"]))
        texts.append({"name": "Files that are not in git", "about": about, "text": names})
    if packages:
        about = f"{len(packages)} packages"
        names = "\n".join(map(str, packages))
        texts.append({"name": "Python packages", "about": about, "text": names})
    script = end_of_text(sweep.submission_dir(number) / SCRIPT_NAME, SCRIPT_BYTES)
    if script:
        texts.append({"name": "Batch script", "about": f"submission {number}", "text": script})
    return facts, texts


def _facts(origin: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    git, python = origin.get("git"), origin.get("python") or {}
    if git is None:
        yield {"name": "Commit", "value": "the code is not in a git repository"}
    elif git.get("commit"):
        changed = ", and changes that are not committed" if git.get("dirty") else ""
        yield {"name": "Commit", "value": f"{git['commit']}{changed}"}
    else:
        yield {"name": "Commit", "value": f"is not known: {git.get('problem', 'git gave none')}"}
    version, executable = python.get("version", "?"), python.get("executable", "?")
    yield {"name": "Python", "value": f"{version}, {executable}"}
    yield {
        "name": "Submitted on",
        "value": f"{origin.get('host', '?')}, {origin.get('system', '?')}",
    }
    digest = str(origin.get("packages_digest", "?"))
    yield {"name": "Digest of the packages", "value": digest}
