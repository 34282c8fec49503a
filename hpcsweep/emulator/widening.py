"""Create what the sbatch options of a manifest name and an emulated cluster lacks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import client, config, names, times
from hpcsweep.emulator.config import EmulatorConfig, Partition, Qos
from hpcsweep.emulator.jobs import gres_counts


def widen(state_dir: Path, options: Mapping[str, str]) -> None:
    """Create the partition, account, QOS, features, gres and node size that options name.

    `options`: sbatch's long options. A `strict` cluster stays unchanged. Jobs continue.
    *Safe to repeat.* *Writes* the configuration. *Raises* ClusterUnavailable.
    """
    now = config.load(state_dir)
    new = widened(now, options)
    if now.strict or new == now:
        return
    files.replace(state_dir / names.CONFIG, files.json_bytes(new.to_json()))
    client.ask(state_dir, {"do": "reconfigure"})


def widened(now: EmulatorConfig, options: Mapping[str, str]) -> EmulatorConfig:
    """A configuration that accepts a job with these options; no value decreases."""
    cpus = _number(options, "cpus-per-task") * _number(options, "ntasks")
    memory = times.parse_megabytes(options.get("mem", "0")) or 0
    memory = max(memory, (times.parse_megabytes(options.get("mem-per-cpu", "0")) or 0) * cpus)
    partitions = _words(options.get("partition", ""))
    new = [Partition(name=name) for name in partitions if now.partition(name) is None]
    qos = list(now.qos)
    for name in _words(options.get("qos", "")):
        if name not in {entry.name for entry in now.qos}:
            qos = [*(qos or [Qos(name="normal")]), Qos(name=name)]
    accounts = [*now.accounts, *_words(options.get("account", ""))]
    features = [*now.features, *re.findall(r"[\w.-]+", options.get("constraint", ""))]
    changes: dict[str, Any] = {
        "cpus": max(now.cpus, cpus),
        "mem_mb": max(now.mem_mb, memory),
        "partitions": (*now.partitions, *new),
        "qos": tuple(dict.fromkeys(qos)),
        "accounts": tuple(dict.fromkeys(accounts)),
        "features": tuple(dict.fromkeys(features)),
        "gres": _more_gres(now.gres, options),
    }
    return dataclasses.replace(now, **changes)


def _number(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, "1")
    return max(1, int(text)) if text.isdigit() else 1


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _more_gres(now: str, options: Mapping[str, str]) -> str:
    counts = gres_counts(now)
    needed = gres_counts(options.get("gres", "").replace("gres/", ""))
    for name in ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"):
        if name in options:
            number = options[name].rpartition(":")[2]
            tasks = _number(options, "ntasks") if name == "gpus-per-task" else 1
            gpus = int(number) * tasks if number.isdigit() else 1
            needed["gpu"] = max(needed.get("gpu", 0), gpus)
    for name, count in needed.items():
        counts[name] = max(count, counts.get(name, 0))
    return ",".join(f"{name}:{count}" for name, count in counts.items())
