#!/bin/sh
# One case: omega, steps, run directory. Replace the awk program by yours.
set -eu
omega=$1 steps=$2 run_dir=$3

# Metrics are what `hpcsweep collect` shows: a JSON object in metrics.json of the run directory.
awk -v omega="$omega" -v steps="$steps" 'BEGIN {
    x = 1; v = 0; dt = 0.01
    for (i = 0; i < steps; i++) { v -= omega * omega * x * dt; x += v * dt }
    printf "{\"energy\": %.10g}\n", 0.5 * (v * v + omega * omega * x * x)
}' > "$run_dir/metrics.json"

# What it prints is in stdout.txt: `hpcsweep logs` shows it. An exit code that is not 0 is a failure.
echo "done with omega=$omega, steps=$steps"
