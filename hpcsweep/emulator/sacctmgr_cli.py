"""sacctmgr, as far as it only looks: associations, QOS, users, the cluster."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep.emulator import config, options, times, who
from hpcsweep.emulator.config import EmulatorConfig

TABLE = options.table(
    "!help,h !immediate,i noheader,n !oneliner,o parsable,p parsable2,P !quiet,Q readonly,r "
    "!associations,s !usage !verbose,v version,V !json !yaml"
)
# Field: heading and width, as 22.05.8 has them; negative: padded on the right.
FIELDS = {
    "account": ("Account", 10),
    "admin": ("Admin", 9),
    "cluster": ("Cluster", 10),
    "controlhost": ("ControlHost", 15),
    "controlport": ("ControlPort", 12),
    "defaultaccount": ("Def Acct", 10),
    "defaultqos": ("Def QOS", 9),
    "flags": ("Flags", 20),
    "gracetime": ("GraceTime", 10),
    "grpjobs": ("GrpJobs", 7),
    "grpsubmit": ("GrpSubmit", 9),
    "grptres": ("GrpTRES", 13),
    "maxjobs": ("MaxJobs", 7),
    "maxjobspu": ("MaxJobsPU", 9),
    "maxsubmit": ("MaxSubmit", 9),
    "maxsubmitpu": ("MaxSubmitPU", 11),
    "maxtrespu": ("MaxTRESPU", 13),
    "maxwall": ("MaxWall", 11),
    "name": ("Name", 10),
    "partition": ("Partition", 10),
    "preempt": ("Preempt", 10),
    "preemptmode": ("PreemptMode", 11),
    "priority": ("Priority", 10),
    "qos": ("QOS", 20),
    "share": ("Share", 9),
    "user": ("User", 10),
}
_DEFAULTS = {
    "associations": "cluster,account,user,partition,share,grpjobs,grpsubmit,maxjobs,maxsubmit,"
    "maxwall,qos,defaultqos",
    "clusters": "cluster,controlhost,controlport",
    "qos": "name,priority,gracetime,preempt,preemptmode,flags,grpjobs,grpsubmit,maxwall,"
    "maxjobspu,maxsubmitpu",
    "users": "user,defaultaccount,admin",
}
_NO_ENTITY = (
    "No valid entity in list command\n"
    'Input line must include "Account", "Association", "Cluster", "Configuration",\n'
    '"Event", "Federation", "Problem", "QOS", "Resource", "Reservation",\n'
    '"RunAwayJobs", "Stats", "Transaction", "TRES", "User", or "WCKey"'
)
_OTHERS = ("account", "configuration", "event", "federation", "problem", "resource", "stats",
           "reservation", "runawayjobs", "transaction", "tres", "wckey")  # fmt: skip
_WRITING = ("add", "archive", "clear", "create", "delete", "dump", "load", "modify", "reconfigure")

Row = dict[str, str]


def main(state_dir: Path, argv: list[str]) -> int:
    """Print what there is."""
    found, words = options.Getopt("sacctmgr", TABLE).read(argv)
    wanted = dict(found)
    if "version" in wanted or words[:1] == ["version"]:
        return options.version()
    if not words or words[0] in _WRITING:
        options.not_emulated("sacctmgr", f"command {words[0]}" if words else "interactive mode")
    if words[0] not in ("show", "list"):
        options.say(f"invalid keyword: {words[0]}")
        return 1
    entity = _entity(words[1] if len(words) > 1 else "")
    filters = {}
    names = _DEFAULTS[entity]
    for word in words[2:]:
        key, equals, value = word.partition("=")
        if key in ("where", "withassoc"):
            continue
        if key == "format":
            names = value
        elif equals or entity in ("users", "qos"):
            filters[key if equals else "name"] = value if equals else key
    rows = _rows(config.load(state_dir), entity, filters)
    _show(rows, [_field(word) for word in names.split(",") if word], wanted)
    return 0


def _entity(word: str) -> str:
    lower = word.lower()
    for name in _DEFAULTS:
        if len(lower) > 2 and name.startswith(lower):
            return name
    if any(len(lower) > 2 and name.startswith(lower) for name in _OTHERS):
        options.not_emulated("sacctmgr", f"show {word}")
    options.say(_NO_ENTITY)
    raise SystemExit(1)


def _field(word: str) -> tuple[str, int]:
    name, _, width = word.partition("%")
    key = name.strip().lower()
    if key not in FIELDS:
        options.say(f"Unknown field '{name}'")
        raise SystemExit(1)
    return key, int(width) if width.lstrip("-").isdigit() else FIELDS[key][1]


def _rows(settings: EmulatorConfig, entity: str, filters: dict[str, str]) -> list[Row]:
    me = who.user_name(os.getuid())
    accounts = list(settings.accounts) or [settings.account] * bool(settings.account)
    qos = [one.name for one in settings.qos] or ["normal"]
    rows: list[Row] = []
    if entity == "clusters":
        rows = [{"cluster": settings.cluster_name, "controlhost": "127.0.0.1", "controlport": "0"}]
    elif entity == "users":
        default = settings.account or (accounts[0] if accounts else "")
        rows = [{"user": me, "name": me, "defaultaccount": default, "admin": "None"}]
    elif entity == "associations":
        common = {"cluster": settings.cluster_name, "user": me, "share": "1"}
        common |= {"qos": ",".join(qos), "maxjobs": _limit(settings.max_jobs)}
        common |= {"maxsubmit": _limit(settings.max_submit_jobs)}
        rows = [common | {"account": account} for account in accounts]
    else:
        known = {one.name: one for one in settings.qos}
        for name in qos:
            row = {"name": name, "priority": "0", "gracetime": "00:00:00", "preemptmode": "cluster"}
            if one := known.get(name):
                row |= {"priority": str(one.priority), "maxjobspu": _limit(one.max_jobs_per_user)}
                row |= {"maxsubmitpu": _limit(one.max_submit_per_user)}
                row |= {"maxwall": times.elapsed_long(one.max_wall * 60) if one.max_wall else ""}
            rows.append(row)
    for key, value in filters.items():
        rows = [row for row in rows if row.get(key.lower(), "") in value.split(",")]
    return rows


def _limit(number: int) -> str:
    return str(number) if number else ""


def _show(rows: list[Row], fields: list[tuple[str, int]], wanted: dict[str, str]) -> None:
    bare = "parsable2" in wanted
    table = [[row.get(key, "") for key, _ in fields] for row in rows]
    heads = [FIELDS[key][0] for key, _ in fields]
    if bare or "parsable" in wanted:
        lines = table if "noheader" in wanted else [heads, *table]
        for cells in lines:
            print("|".join(cells) + ("" if bare else "|"))
        return
    if "noheader" not in wanted:
        table = [heads, ["-" * abs(width) for _, width in fields], *table]
    for cells in table:
        shown = zip(cells, fields, strict=True)
        print("".join(text[: abs(width)].rjust(abs(width)) + " " for text, (_, width) in shown))
