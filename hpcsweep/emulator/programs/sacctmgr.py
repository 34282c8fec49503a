"""sacctmgr show: associations, QOS, users, the cluster; read only."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep.emulator import config, identity, times
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.programs import options, tabular

TABLE = options.table(
    "help,h immediate,i noheader,n oneliner,o parsable,p parsable2,P quiet,Q readonly,r "
    "associations,s usage verbose,v version,V !json !yaml"
)
# Field: heading and width of 22.05.8; negative: padded on the right.
FIELDS = {
    "account": ("Account", 10),
    "admin": ("Admin", 9),
    "cluster": ("Cluster", 10),
    "controlhost": ("ControlHost", 15),
    "controlport": ("ControlPort", 12),
    "coordinators": ("Coord", 20),
    "defaultaccount": ("Def Acct", 10),
    "defaultqos": ("Def QOS", 9),
    "description": ("Descr", 20),
    "fairshare": ("Share", 9),
    "flags": ("Flags", 20),
    "gracetime": ("GraceTime", 10),
    "grpcpus": ("GrpCPUs", 8),
    "grpjobs": ("GrpJobs", 7),
    "grpsubmit": ("GrpSubmit", 9),
    "grptres": ("GrpTRES", 13),
    "grptresmins": ("GrpTRESMins", 13),
    "grptresrunmins": ("GrpTRESRunMin", 13),
    "grpwall": ("GrpWall", 11),
    "id": ("ID", 6),
    "maxcpus": ("MaxCPUs", 8),
    "maxcpumins": ("MaxCPUMins", 11),
    "maxjobs": ("MaxJobs", 7),
    "maxjobspu": ("MaxJobsPU", 9),
    "maxnodes": ("MaxNodes", 8),
    "maxsubmit": ("MaxSubmit", 9),
    "maxsubmitpu": ("MaxSubmitPU", 11),
    "maxtres": ("MaxTRES", 13),
    "maxtresmins": ("MaxTRESMins", 13),
    "maxtrespernode": ("MaxTRESPerNode", 14),
    "maxtrespu": ("MaxTRESPU", 13),
    "maxwall": ("MaxWall", 11),
    "name": ("Name", 10),
    "organization": ("Org", 20),
    "parentname": ("Par Name", 10),
    "partition": ("Partition", 10),
    "preempt": ("Preempt", 10),
    "preemptmode": ("PreemptMode", 11),
    "priority": ("Priority", 10),
    "qos": ("QOS", 20),
    "rpc": ("RPC", 5),
    "share": ("Share", 9),
    "tresname": ("Name", 15),
    "type": ("Type", 8),
    "user": ("User", 10),
    "wckey": ("WCKey", 10),
}
_ASSOCIATION = (
    "cluster,account,user,partition,share,priority,grpjobs,grptres,grpsubmit,grpwall,grptresmins,"
    "maxjobs,maxtres,maxtrespernode,maxsubmit,maxwall,maxtresmins,qos,defaultqos,grptresrunmins"
)
_DEFAULTS = {
    "accounts": "account,description,organization",
    "associations": _ASSOCIATION,
    "clusters": "cluster,controlhost,controlport,rpc,share,grpjobs,grptres,grpsubmit,maxjobs,"
    "maxtres,maxsubmit,maxwall,qos,defaultqos",
    "qos": "name,priority,gracetime,preempt,preemptmode,flags,grpjobs,grpsubmit,maxwall,"
    "maxjobspu,maxsubmitpu",
    "tres": "type,tresname,id",
    "users": "user,defaultaccount,admin",
    "wckeys": "wckey,cluster,user",
}
# Fields that --associations and `withassoc` add to users and accounts.
_WITH = (
    "cluster,account,partition,share,priority,maxjobs,maxnodes,maxcpus,maxsubmit,maxwall,"
    "maxcpumins,qos,defaultqos"
)
_TRES = ("cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages")
_NO_ENTITY = (
    "No valid entity in list command\n"
    'Input line must include "Account", "Association", "Cluster", "Configuration",\n'
    '"Event", "Federation", "Problem", "QOS", "Resource", "Reservation",\n'
    '"RunAwayJobs", "Stats", "Transaction", "TRES", "User", or "WCKey"'
)
_OTHERS = (
    *("configuration", "event", "federation", "problem", "resource", "stats", "reservation"),
    *("runawayjobs", "transaction"),
)
_WRITING = ("add", "archive", "clear", "create", "delete", "dump", "load", "modify", "reconfigure")

EntityRow = dict[str, str]


def main(state_dir: Path, argv: list[str]) -> int:
    """Print one kind of entity."""
    pairs, words = options.Getopt("sacctmgr", TABLE).read(argv)
    given = dict(pairs)
    if words[:1] in (["version"], ["help"]):
        given[words[0]] = ""
    if options.print_information("sacctmgr", "[COMMAND [ARGUMENT...]]", TABLE, given):
        return 0
    if not words or words[0] in _WRITING:
        options.refuse("sacctmgr", f"command {words[0]}" if words else "interactive mode")
    if words[0] not in ("show", "list"):
        options.to_stderr(f"invalid keyword: {words[0]}")
        return 1
    entity = _entity(words[1] if len(words) > 1 else "")
    names, filters = _arguments(entity, words[2:], given)
    rows = _rows(config.load(state_dir), entity)
    for key, value in filters.items():
        rows = [row for row in rows if row.get(key.lower(), "") in value.split(",")]
    columns = [_field(word) for word in names.split(",") if word]
    heads = [(FIELDS[key][0], width) for key, width in columns]
    tabular.show(heads, [[row.get(key, "") for key, _ in columns] for row in rows], given)
    return 0


def _arguments(entity: str, words: list[str], given: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The fields to show, and the filters."""
    names, filters = _DEFAULTS[entity], {}
    if {"withassoc", "withass"} & {word.lower() for word in words}:
        given["associations"] = ""
    if "associations" in given and entity in ("users", "accounts"):
        names += f",{_WITH}"
    for word in words:
        key, equals, value = word.partition("=")
        if key.lower() in ("where", "withassoc", "withass", "tree"):
            continue
        if key.lower() == "format":
            names = value
        elif equals or entity in ("users", "qos", "accounts"):
            filters[key if equals else "name"] = value if equals else key
    return names, filters


def _entity(word: str) -> str:
    lower = word.lower()
    for name in _DEFAULTS:
        if len(lower) > 2 and name.startswith(lower):
            return name
    if any(len(lower) > 2 and name.startswith(lower) for name in _OTHERS):
        options.refuse("sacctmgr", f"show {word}")
    options.to_stderr(_NO_ENTITY)
    raise SystemExit(1)


def _field(word: str) -> tuple[str, int]:
    name, _, width = word.partition("%")
    key = name.strip().lower()
    if key not in FIELDS:
        options.to_stderr(f"Unknown field '{name}'")
        raise SystemExit(1)
    return key, int(width) if width.lstrip("-").isdigit() else FIELDS[key][1]


def _rows(settings: EmulatorConfig, entity: str) -> list[EntityRow]:
    me = identity.user_name(os.getuid())
    accounts = list(settings.accounts) or [settings.account] * bool(settings.account)
    default = settings.account or (accounts[0] if accounts else "")
    qos = [entry.name for entry in settings.qos] or ["normal"]
    common = {"cluster": settings.cluster_name, "user": me, "share": "1", "fairshare": "1"}
    common |= {"qos": ",".join(qos), "maxjobs": _limit(settings.max_jobs)}
    common |= {"maxsubmit": _limit(settings.max_submit_jobs)}
    if entity == "clusters":
        control = {"controlhost": "127.0.0.1", "controlport": "0", "rpc": "9728"}
        return [common | control | {"name": settings.cluster_name}]
    if entity == "users":
        admin = "Administrator" if me == "root" else "None"
        names = {"name": me, "defaultaccount": default, "account": default}
        return [common | names | {"admin": admin}]
    if entity == "accounts":
        return [common | _account(name) for name in accounts]
    if entity == "associations":
        # An account has an association of its own, before those of its users.
        own = {"user": "", "parentname": "root"}
        return [common | {"account": account} | user for account in accounts for user in (own, {})]
    if entity == "tres":
        return [_tres(number, name) for number, name in enumerate(_TRES, 1)]
    return _qos(settings, qos) if entity == "qos" else []  # no wckeys: TrackWCKey is off


def _account(name: str) -> EntityRow:
    about = "default root account" if name == "root" else name
    return {"account": name, "name": name, "description": about, "organization": name}


def _tres(number: int, name: str) -> EntityRow:
    kind, _, sub = name.partition("/")
    return {"type": kind, "tresname": sub, "name": sub, "id": str(number)}


def _qos(settings: EmulatorConfig, names: list[str]) -> list[EntityRow]:
    by_name = {qos.name: qos for qos in settings.qos}
    rows: list[EntityRow] = []
    for name in names:
        row = {"name": name, "priority": "0", "gracetime": "00:00:00", "preemptmode": "cluster"}
        if qos := by_name.get(name):
            row |= {"priority": str(qos.priority), "maxjobspu": _limit(qos.max_jobs_per_user)}
            row |= {"maxsubmitpu": _limit(qos.max_submit_per_user)}
            row |= {"maxwall": times.elapsed_long(qos.max_wall * 60) if qos.max_wall else ""}
        rows.append(row)
    return rows


def _limit(number: int) -> str:
    return str(number) if number else ""
