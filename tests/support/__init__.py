"""What the tests share: waiting, processes, a private Slurm."""
