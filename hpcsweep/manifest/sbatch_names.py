"""The names of sbatch's long options."""

from __future__ import annotations

import re

# All long options of sbatch that a manifest may set, in `slurm_opt.c` from 22.05 to 26.05.
KNOWN = frozenset(
    re.findall(
        r"\S+",
        """account acctg-freq batch bb bbf begin cluster-constraint comment consolidate-segments
        constraint container container-id container-type context contiguous core-spec
        cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot distribution
        exclude exclusive extra extra-node-info gpu-bind gpu-freq gpus gpus-per-node
        gpus-per-socket gpus-per-task gres gres-flags hint hold kill-on-invalid-dep licenses
        mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus
        network nice no-kill nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu
        ntasks-per-node ntasks-per-socket ntasks-per-tres oom-kill-step overcommit oversubscribe
        partition power prefer priority profile propagate qos reboot requeue reservation
        resources resv-ports segment sockets-per-node spread-job spread-segments stepmgr switches
        tasks-per-node thread-spec threads-per-core time time-min tmp tres-bind tres-per-task
        use-min-nodes wait-all-nodes wckey""",
    )
)
# Those of which a plain number is a count or an amount. sbatch 22.05 reads decimal digits only: it
# refuses `--nodes=0x2`, and takes `--priority=1e3` as 1.
NUMBERS = frozenset(
    re.findall(
        r"\S+",
        """acctg-freq core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task delay-boot
        gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task mem mem-per-cpu mem-per-gpu
        mincpus nice nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node
        ntasks-per-socket ntasks-per-tres oom-kill-step priority resv-ports segment
        sockets-per-node switches tasks-per-node thread-spec threads-per-core time time-min tmp
        wait-all-nodes""",
    )
)
# Options of the plugin pyxis, which many sites have; the setting `plugin_options` names others.
PYXIS = frozenset(
    re.findall(
        r"\S+",
        """container-entrypoint container-entrypoint-log container-env container-image
        container-mount-home container-mounts container-name container-readonly
        container-remap-root container-save container-workdir container-writable
        no-container-entrypoint no-container-mount-home no-container-remap-root""",
    )
)
