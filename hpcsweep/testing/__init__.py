"""What other projects need to test their programs against Slurm, without a Slurm."""
