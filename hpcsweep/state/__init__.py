"""What is known of every index of a sweep, from journals, plans and the scheduler.

`scheduler` polls the cluster and journals its verdicts, `outlook` computes one partition of the
indices, and everything else reads that. What is done about it is decided in `submission`.
"""
