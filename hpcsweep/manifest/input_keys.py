"""The key `inputs` of a manifest: the files that its cases read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.manifest.key_values import refuse
from hpcsweep.manifest.mistakes import Mistakes, described, shown
from hpcsweep.manifest.target_spec import placeholders
from hpcsweep.sources import ParameterSource
from hpcsweep.yamltext import nearest

_NEXT = "Write names of columns or parameters, or patterns: [fasta, 'reads/{sample}_*.fq']."
# What tells a path or a pattern from a misspelt column.
_OF_PATHS = frozenset("/.*?[{")


def _inputs(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        refuse(f"is {described(value)}, not a list of texts", _NEXT)
    for text in texts:
        if not isinstance(text, str) or not text or "\0" in text:
            refuse(f"has the element {described(text)}, which is no text", _NEXT)
    return tuple(texts)


Inputs = Annotated[
    tuple[str, ...],
    BeforeValidator(_inputs),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
            ]
        }
    ),
]


def check(inputs: tuple[str, ...], source: ParameterSource, mistakes: Mistakes) -> None:
    """Add a mistake for each name that no case has."""
    known = sorted(source.names | source.carried_names)
    for text in inputs:
        names = placeholders([text])
        unknown = sorted(names.difference(known))
        if not names and text not in known and _OF_PATHS.isdisjoint(text):
            unknown = [text]
        for name in unknown:
            guess = nearest(name, known)
            hint = f"Did you mean {guess!r}?" if guess else f"Known are {', '.join(known)}."
            what = "is neither a column nor a parameter, nor a path"
            mistakes.add(("inputs",), f"{shown(name)} {what}", hint)
