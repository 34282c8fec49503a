# A random walk on the line: steps of +1 and -1, the former with probability 1/2 + bias.
#
#     awk -f walk.awk BIAS STEPS SEED DIRECTORY
#
# Writes DIRECTORY/walk.csv, one row per step, and DIRECTORY/metrics.json.

# Lehmer's generator with the constants of Park and Miller: exact in awk's floating point, so that
# every awk walks the same way. (srand and rand differ from one awk to the next.)
function uniform() {
    state = (state * 16807) % 2147483647
    return state / 2147483647
}

# The seed has up to 39 digits, more than a number of awk's can hold: digit by digit.
function reduced(digits,    i, rest) {
    for (i = 1; i <= length(digits); i++)
        rest = (rest * 10 + substr(digits, i, 1)) % 2147483646
    return rest + 1
}

BEGIN {
    bias = ARGV[1] + 0; steps = ARGV[2] + 0; state = reduced(ARGV[3]); directory = ARGV[4]
    rows = directory "/walk.csv"
    print "step,position" > rows
    for (step = 1; step <= steps; step++) {
        position += (uniform() < 0.5 + bias) ? 1 : -1
        if (position == 0) returns++
        if (position > furthest) furthest = position
        print step "," position > rows
    }
    printf "{\"position\": %d, \"furthest\": %d, \"returns\": %d, \"drift\": %.6f}\n",
        position, furthest, returns, position / steps > (directory "/metrics.json")
    print "walked", steps, "steps to", position
}
