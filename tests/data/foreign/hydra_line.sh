#!/bin/bash
# The best runs of March
CUDA_VISIBLE_DEVICES=0 python -m project.train --multirun --config-name=base \
  lr=0.1,0.01,1e-3 model=resnet,'vit b16' +trainer.epochs='range(10,31,10)' \
  optimizer.nesterov=true,false 'layers=[64,64],[128]' hydra/launcher=submitit_slurm \
  hydra.launcher.partition=gpu seed=7 'x=interval(0,1)' ~callbacks.early
