"""Changes by scontrol: hold, release, requeue and others; updates of jobs and nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, hostlist
from hpcsweep.emulator.messages import INVALID_JOB
from hpcsweep.emulator.programs import options, scontrol_update

# The scheduler's changes, by command.
CHANGES = {
    "hold": "hold",
    "uhold": "uhold",
    "holdu": "uhold",
    "release": "release",
    "requeue": "requeue",
    "requeuehold": "requeuehold",
    "suspend": "suspend",
    "resume": "resume",
    "top": "top",
}
# Changes for which Slurm prints a second line on an error.
_HOLDS = ("hold", "uhold", "release")


def change(state_dir: Path, verb: str, words: list[str]) -> int:
    """Apply one of CHANGES to jobs."""
    if not words:
        options.to_stderr(f"too few arguments for keyword:{verb}")
        return 1
    code = 0
    for text in [part for word in words for part in arrays.split_selectors(word)]:
        code = _change_one(state_dir, text, {"change": CHANGES[verb]}) or code
    return code


def _change_one(state_dir: Path, text: str, how: dict[str, Any]) -> int:
    selector = arrays.parse_selector(text)
    answer: dict[str, Any] = {"error": INVALID_JOB}
    if selector is not None:
        question = {
            "do": "change",
            "job": selector.job,
            "tasks": selector.tasks,
            "uid": os.getuid(),
        }
        answer = client.ask(state_dir, question | how)
    if "error" in answer:
        return _complain(text, answer["error"], how["change"])
    return _report(text, answer["results"], how["change"])


def _complain(text: str, error: str, change: str) -> int:
    if error == INVALID_JOB and change in ("suspend", "resume"):
        error = "Unexpected message received"
    options.to_stderr(f"{error} for job {text}")
    if change in _HOLDS:
        blank = "" if options.version().since("26.05") else " "
        options.to_stderr(f"slurm_suspend error:{blank}{error}")
    return 1


def _report(text: str, results: list[dict[str, Any]], change: str) -> int:
    """Print the errors with their elements; if there are any, also the elements without one."""
    if not any(result["error"] for result in results):
        return 0
    grouped: dict[str, list[int]] = {}
    for result in results:
        if not result["array"]:
            return _complain(text, result["error"], change)
        grouped.setdefault(result["error"], []).extend(result["tasks"])
    base = text.partition("_")[0]
    for error in sorted(grouped, key=lambda error: min(grouped[error])):
        tasks = arrays.format_tasks(sorted(grouped[error]))
        if options.version().since("26.05"):
            tasks = f"[{tasks}]"
        options.to_stderr(f"{base}_{tasks}: {error or 'No error'}")
    return 1


def update(state_dir: Path, words: list[str], _given: dict[str, str]) -> int:
    """Update the job or the nodes that `KEY=VALUE` words name."""
    if not words:
        options.to_stderr("too few arguments for update keyword")
        return 1
    pairs = {}
    if words[0].lower() in ("job", "jobid") and len(words) > 1:  # `update job 7 ...`
        words = [f"jobid={words[1]}", *words[2:]]
    for word in words:
        key, equals, value = word.partition("=")
        key = "jobid" if key.lower() == "job" else key
        if not equals:
            options.to_stderr(f"Invalid input: {word}\nRequest aborted")
            return 1
        pairs[key.lower()] = (word, value)
    if "jobid" in pairs:
        how = scontrol_update.read({key: pair for key, pair in pairs.items() if key != "jobid"})
        codes = [
            _change_one(state_dir, text, how) for text in arrays.split_selectors(pairs["jobid"][1])
        ]
        return max(codes, default=0)
    if "nodename" in pairs:
        return _update_node(state_dir, pairs)
    return options.refuse("scontrol", f"update {words[0]}")


def _update_node(state_dir: Path, pairs: dict[str, tuple[str, str]]) -> int:
    for key, (word, _) in pairs.items():
        if key not in ("nodename", "state", "reason"):
            options.refuse("scontrol", f"update of a node with {word.partition('=')[0]}")
    state = pairs.get("state", ("", ""))[1].lower()
    if state not in ("down", "resume", "idle"):
        options.refuse("scontrol", f"update of a node with State={state}")
    reason = pairs.get("reason", ("", ""))[1]
    if state == "down" and not reason:
        options.to_stderr(
            "You must specify a reason when DOWNING or DRAINING a node. Request denied"
        )
        return 1
    question = {
        "do": "update_node",
        "nodes": hostlist.expand_words(pairs["nodename"][1]),
        "down": reason if state == "down" else "",
    }
    answer = client.ask(state_dir, question)
    if "error" in answer:
        options.to_stderr(f"slurm_update error: {answer['error']}")
        return 1
    return 0
