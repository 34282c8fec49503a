"""What is known of every index of a sweep: journals, plans and the scheduler's word together.

`scheduler` polls the cluster and journals its verdicts, `outlook` computes one partition of the
indices, and everything else reads that. What is done about it is decided in `submission`.
"""
