"""sinfo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, hostlist
from hpcsweep.emulator.messages import UNREACHABLE
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.format_fields import FIELD, fitted
from hpcsweep.emulator.programs.sinfo_fields import FIELDS, LETTERS, Group
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "all,a dead,d exact,e federation help hide !iterate,i: local long,l !cluster,M: "
    "!clusters,M: nodes,n: noconvert noheader,h Node,N format,o: Format,O: partition,p: "
    "responding,r list-reasons,R summarize,s !sort,S: states,t: reservation,T usage "
    "verbose,v version,V !json !yaml"
)
_FORMATS = {
    "": "%9P %.5a %.10l %.6D %.6t %N",
    "long": "%9P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N",
    "Node": "%9N %.6D %.9P %6t",
    "Node long": "%9N %.6D %.9P %.11T %4c %.8z %.6m %.8d %.6w %.8f %20E",
    "list-reasons": "%20E %9u %19H %N",
    "list-reasons long": "%20E %12U %19H %6t %N",
    "summarize": "%9P %.5a %.10l %.16F %N",
}
_ORDER = ("mixed", "allocated", "idle", "down")
_STATES = {"alloc": "allocated", "mix": "mixed", **{name: name for name in _ORDER}}
# The valid states that sinfo lists after an unknown one.
_VALID = {
    "22.05": "unknown,down,idle,allocated,?,mixed,future,drain,drained,draining,no_respond,"
    "reserved,perfctrs,cloud,completing,powering_down,powered_down,power_down,powering_up,fail,"
    "maint,reboot,reboot^,unknown",
    "24.11": "unknown,down,idle,allocated,?,mixed,future,drain,drained,draining,no_respond,"
    "reserved,planned,blocked,cloud,completing,powering_down,powered_down,power_down,powering_up,"
    "fail,maint,reboot,reboot^",
    "26.05": "unknown,down,idle,allocated,mixed,future,drain,drained,draining,no_respond,reserved,"
    "planned,blocked,cloud,completing,powering_down,powered_down,power_down,powering_up,power_up,"
    "inval,fail,maint,reboot,reboot^,external,dynamic_future,dynamic_norm",
}
# Real states that no emulated node ever has.
_NEVER = {"drng", "drain", "resv", "comp", "plnd", "planned", "err"}.union(
    *(text.split(",") for text in _VALID.values())
)


def main(state_dir: Path, argv: list[str]) -> int:
    """Print partitions and their nodes, one row for each state."""
    pairs, _ = options.Getopt("sinfo", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("sinfo", "", TABLE, given):
        return 0
    if "reservation" in given:
        print("No reservations in the system")
        return 0
    columns = _columns(given)
    states = _states(given)
    try:
        answer = client.ask(state_dir, {"do": "cluster"})
    except ClusterUnavailable:
        options.to_stderr(f"slurm_load_partitions: {UNREACHABLE}")
        return 1
    if "long" in given:
        print(time.strftime("%a %b %d %H:%M:%S %Y"))
    if "noheader" not in given:
        print("".join(text + fitted(FIELDS[key][0], width) for text, width, key in columns))
    for group in _groups(answer, given, states, {key for _, _, key in columns}):
        cells = (text + fitted(FIELDS[key][1](group), width) for text, width, key in columns)
        print("".join(cells))
    return 0


FormatFields = list[tuple[str, str, str]]


def _columns(given: dict[str, str]) -> FormatFields:
    """Text, width and letter of each field; the text after the last one has no letter."""
    if "Format" in given:
        return _named(given["Format"])
    kind = next((name for name in ("list-reasons", "Node", "summarize") if name in given), "")
    usual = _FORMATS.get(f"{kind} long".strip() if "long" in given else kind, _FORMATS[""])
    form = given.get("format", usual)
    if form == "%all":
        form = "|".join(f"%{letter}" for letter in FIELDS if letter)
    fields: FormatFields = []
    end = 0
    for match in FIELD.finditer(form):
        text, letter = form[end : match.start()], match[2]
        if letter not in FIELDS:
            options.to_stderr(f"Invalid node format specification: {letter}")
            fields.append((f"{text}%{letter}", "", ""))
        else:
            fields.append((text, match[1], letter))
        end = match.end()
    return [*fields, (form[end:], "", "")]


def _named(form: str) -> FormatFields:
    fields: FormatFields = []
    for word in filter(None, form.replace(" ", "").split(",")):
        name, _, width = word.partition(":")
        if name.lower() in LETTERS:
            fields.append(("", width or "20", LETTERS[name.lower()]))
        else:
            options.print_error("sinfo", f"Invalid node format specification: {name}")
    return fields


def _states(given: dict[str, str]) -> set[str]:
    """The node states to show."""
    if "dead" in given or "list-reasons" in given:
        return {"down"}
    if "responding" in given:
        return set(_ORDER) - {"down"}
    states = set()
    for word in filter(None, given.get("states", "all").lower().split(",")):
        if word in _STATES:
            states.add(_STATES[word])
        elif word == "all":
            states |= set(_ORDER)
        elif word not in _NEVER:
            options.print_error("sinfo", f'Bad state string: "{word}"')
            options.fail("sinfo", f"valid states: {_VALID[options.version().name]}")
    return states


def _groups(
    answer: dict[str, Any], given: dict[str, str], states: set[str], letters: set[str]
) -> list[Group]:
    """The rows: nodes of a partition with equal cells share a row."""
    chosen = hostlist.expand(given.get("nodes", ""))
    config = answer["config"]
    groups: dict[tuple[Any, ...], Group] = {}
    for number, partition in enumerate(config["partitions"]):
        if given.get("partition") and partition["name"] not in given["partition"].split(","):
            continue
        base = {"partition": partition, "is_default": number == 0, "config": config}
        nodes = [
            node
            for node in answer["nodes"]
            if node["state"] in states and (not chosen or node["name"] in chosen)
        ]
        for node in sorted(nodes, key=lambda node: _ORDER.index(node["state"])):
            group = base | {"state": node["state"], "nodes": [node], "reason": node["reason"]}
            key = _key(group, letters, is_alone="Node" in given)
            if node not in groups.setdefault(key, group)["nodes"]:
                groups[key]["nodes"].append(node)
        if not nodes and "list-reasons" not in given:
            empty = base | {"state": "n/a", "nodes": [], "reason": ""}
            groups[partition["name"], "n/a"] = empty
    rows = list(groups.values())
    for group in rows:
        group["nodes"].sort(key=answer["nodes"].index)
    if "Node" in given:
        rows.sort(
            key=lambda group: answer["nodes"].index(group["nodes"][0]) if group["nodes"] else -1
        )
    return rows


# Letters of fields that depend on the partition, and on the state of a node.
_OF_PARTITION = frozenset("aPRlLgpMI")
_OF_STATE = frozenset("tTEuUH")


def _key(group: Group, letters: set[str], *, is_alone: bool) -> tuple[Any, ...]:
    """The cells of a row that depend on the node."""
    shown = [FIELDS[letter][1](group) for letter in sorted(letters & (_OF_PARTITION | _OF_STATE))]
    node = group["nodes"][0]["name"] if is_alone else ""
    return (*shown, node)
