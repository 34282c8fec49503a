"""The key `notify` of a manifest: its value, and its form for editors."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.manifest.key_values import refuse
from hpcsweep.manifest.mistakes import described
from hpcsweep.manifest.policies import Notify

# An option of `mail` begins with a dash, and one of its other programs with a bar.
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)
_NEXT = "Write an address, or a program and its arguments: [./tell.sh, --short]."


def _notify(value: Any) -> Notify:
    if isinstance(value, str):
        if not _ADDRESS.fullmatch(value):
            refuse(f"is {described(value)}, which is no e-mail address", _NEXT)
        return Notify(mail=value)
    if not isinstance(value, list) or not value:
        refuse(f"is {described(value)}, neither an e-mail address nor a command", _NEXT)
    for word in value:
        if not isinstance(word, str) or not word or "\0" in word:
            refuse(f"has the element {described(word)}, which is no text", _NEXT)
    return Notify(command=tuple(value))


NotifyValue = Annotated[
    Notify | None,
    BeforeValidator(_notify),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_ADDRESS.pattern}$"},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
            ]
        }
    ),
]
