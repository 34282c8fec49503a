"""Write an imported manifest as text, with a comment on what is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsweep import yamltext
from hpcsweep.errors import HpcsweepError, InputError
from hpcsweep.foreign.draft import Draft, SearchOffer
from hpcsweep.logbook.yamlwrite import flow, key_text
from hpcsweep.manifest.user import resolve
from hpcsweep.redact import redact
from hpcsweep.sources import ParameterSource

METRICS_NOTE = (
    "not known: the metrics; the program has to write them into metrics.json in the directory "
    '{run_dir} (HPCSWEEP_RUN_DIR), such as {"loss": 0.1}'
)
# Mappings are written in lines of their own down to the values of a parameter.
_LINES_DEPTH = 4


def manifest_text(draft: Draft, title: str) -> str:
    """The manifest as YAML; `title` says in its first line where it comes from."""
    lines = [f"# {' '.join(title.split())}", *(f"# {remark}" for remark in draft.remarks)]
    return "\n".join([*lines, *_block(_keys(draft, draft.source), 0)]) + "\n"


def _keys(draft: Draft, source: dict[str, Any]) -> dict[str, Any]:
    return {"name": draft.name, "command": draft.command, "source": source}


def results_comment(draft: Draft, path: Path) -> str:
    """What to know of metrics, and the search that the manifest may have, as a comment."""
    lines = [METRICS_NOTE]
    if draft.search is not None:
        lines += _search_lines(draft, draft.search, path)
    # A name of the tool may have line breaks: what follows one would be keys of the manifest.
    return "".join(f"# {' '.join(line.splitlines())}\n" for line in lines)


def _search_lines(draft: Draft, search: SearchOffer, path: Path) -> Iterator[str]:
    """The keys of the search instead of `source`, or why there is none."""
    space = draft.source["random"]["space"]
    source = {"space": {name: _without_weights(rule) for name, rule in space.items()}}
    keys = {"objective": search.objective, "direction": search.direction, "n": search.n}
    keys_of_search = {"source": source, "search": keys}
    text = "\n".join(_block(_keys(draft, source) | keys_of_search, 0))
    try:
        checked(text, path)
    except InputError as error:
        why = redact(" ".join(str(error).split()))
        yield f"a search cannot stand for {search.instead_of}: {why}"
        return
    yield (
        f"{search.instead_of} chooses cases by earlier results. So does a search, with these lines "
        f"instead of `source`, if the program writes {search.objective} (needs hpcsweep[optuna]):"
    )
    yield from _block(keys_of_search, 0)


def _without_weights(rule: Any) -> Any:
    """The rule of a parameter for a search, which weighs options by results."""
    if isinstance(rule, dict) and rule.get("type") == "WeightedChoice":
        return {"type": "Choice", "options": rule["options"]}
    return rule


def checked(text: str, path: Path) -> ParameterSource:
    """The source of a written manifest. *Raises* InputError if it is not a valid manifest."""
    try:
        return resolve(yamltext.document(text, str(path)), path)[1]
    except HpcsweepError as error:
        raise InputError(
            f"cannot become a manifest: {error}",
            next_step="Correct the file, or write the manifest by hand.",
        ) from error


def _block(mapping: dict[str, Any], depth: int) -> Iterator[str]:
    for key, value in mapping.items():
        start = f"{'  ' * depth}{key_text(key)}:"
        if isinstance(value, dict) and value and _has_lines(value, depth):
            yield start
            yield from _block(value, depth + 1)
        else:
            yield f"{start} {flow(value)}"


def _has_lines(mapping: dict[str, Any], depth: int) -> bool:
    return depth < _LINES_DEPTH and "type" not in mapping
