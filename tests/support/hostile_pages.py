"""Texts that would be markup, scripts or terminal sequences if a page did not show them as text."""

from __future__ import annotations

EVIL = "</script><img src=x onerror='document.title=1'>\x1b]0;owned\x07\u202egnp\"`{{7*7}}"
EVIL_PYTHON = f"""
EVIL = {EVIL!r}

def run(**params):
    if params["n"] == 2:
        raise ValueError(EVIL + "x" * 1_000_000)
    return {{EVIL: 1.5 * params["n"], "text": "<b>" + "y" * 1_000_000, "plain": params["n"]}}
"""
# What an image, a style or a handler of another's making would leave in the page.
FOREIGN = "return document.querySelectorAll('img, b b, iframe, object, main [style*=url]').length"
