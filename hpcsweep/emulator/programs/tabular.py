"""Print the tables of sacct, sacctmgr, sreport, sshare and sstat."""

from __future__ import annotations

from collections.abc import Container, Sequence


def show(
    heads: Sequence[tuple[str, int]],
    table: list[list[str]],
    given: Container[str],
    *,
    delimiter: str = "|",
) -> None:
    """Print rows under their headings, with their widths; a negative width pads on the right.

    `given`: names of options, of which these count: `noheader`, `parsable` and `parsable2`.
    """
    names, widths = [name for name, _ in heads], [width for _, width in heads]
    has_head = "noheader" not in given
    if "parsable" in given or "parsable2" in given:
        end = delimiter if "parsable2" not in given else ""
        lines = [delimiter.join(cells) + end for cells in [names] * has_head + table]
    else:
        lines = ["".join(map(_fitted, cells, widths)) for cells in table]
        if has_head:
            cut = [name[: abs(width)] for name, width in heads]
            rule = "".join("-" * abs(width) + " " for width in widths)
            lines = ["".join(map(_fitted, cut, widths)), rule, *lines]
    print("".join(line + "\n" for line in lines), end="")


def _fitted(text: str, width: int) -> str:
    size = abs(width)
    if len(text) > size:
        text = text[: size - 1] + "+"
    return (text.ljust(size) if width < 0 else text.rjust(size)) + " "
