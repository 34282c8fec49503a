"""The refusal of a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable

from hpcsweep.errors import InputError


def unknown_name(name: str, known: Iterable[str], where: str, noun: str) -> InputError:
    """The error for a name that is none of the known ones, with the nearest of them."""
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake needs it

    names = list(known)
    mean = f"{name}_mean"  # of rows that `--mean-over` or `--group-by` puts together
    near = [mean] if mean in names else get_close_matches(name, sorted(names), n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    if name in ("true", "false", "null"):  # as in YAML
        hint = "Truth values and null are True, False and None. "
    if name.lower() in ("nan", "inf"):
        hint = "Write isnan(x), or not isfinite(x) for NaN and infinities. "
    return InputError(
        f"{name!r} is not a {noun}",
        where=where,
        next_step=f"{hint}{noun.capitalize()}s: {', '.join(names)}.",
    )
