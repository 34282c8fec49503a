"""A deprecated name warns the one who uses it, once for each place."""

from __future__ import annotations

import warnings

from hpcsweep.deprecation import deprecated


def old_name() -> int:
    """A function that has a new name."""
    deprecated("hs.old_name", since="0.2", instead="hs.new_name")
    return 1


def test_a_deprecated_use_warns_once_at_its_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            assert old_name() == 1
        assert old_name() == 1
    first, second = caught
    assert str(first.message) == ("hs.old_name is deprecated since hpcsweep 0.2: use hs.new_name")
    assert first.category is DeprecationWarning
    assert (first.filename, second.filename) == (__file__, __file__)
    assert first.lineno == second.lineno - 1
