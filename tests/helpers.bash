# helpers.bash: for bats tests of pipelines, these and your own: `load helpers` (or the path to this file).
#
#   gm_tensor FILE NAME               a tensor's numbers in all records, one a line
#   gm_scalar FILE NAME               a scalar of each record, one a line
#   gm_assert_close A B [TOLERANCE [FLOOR]]   two numbers, or two files of numbers, differ by at most TOLERANCE (1e-6) times
#                                     the larger one, or by FLOOR (0)
#   gm_assert_equal A B               two texts are equal
#   gm_assert_fails STATUS TEXT CMD   CMD exits with STATUS and says one line on stderr that contains TEXT
#   gm_same_model A B                 two model files hold the same step, parameters and state, to the bit
#   gm_run_killed MODEL STEPS CMD     runs CMD, which trains MODEL, again and again until STEPS are there: its first runs are
#                                     killed (SIGKILL, all of its processes) some steps after each began
#   gm_until_trained MODEL [PID]      waits until this process, or one, has opened the model for training, 60 s at most
#   gm_python ARGS                    Debian's python3, which has Debian's python3-msgpack and the like
#   gm_coverage CLASSIFIER CSV        counts the classes that a classifier finds in at least 2 % of the rows
#
# Tools are found in $GM_BUILD/bin if GM_BUILD is set, else in PATH.

if [ -n "${GM_BUILD:-}" ]; then PATH=$GM_BUILD/bin:$PATH; fi
export LC_ALL=C

gm_tensor() {
    gm-show --csv "$2" "$1" | awk -F, 'NR > 1 { for (i = 1; i <= NF; i++) print $i }'
}

gm_scalar() {
    gm-show --json "$1" | sed -n "s|.*\"scalars\":{[^}]*\"$2\":\([^,}]*\).*|\1|p"
}

gm_assert_close() {
    local tolerance=${3:-1e-6} floor=${4:-0}
    if [ -f "$1" ]; then
        [ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ] || { echo "$1 and $2 differ in length" >&2; return 1; }
        paste -d' ' "$1" "$2"
    else
        echo "$1 $2"
    fi | awk -v tolerance="$tolerance" -v floor="$floor" '
        function abs(x) { return x < 0 ? -x : x }
        NF != 2 || $1 !~ /^[-+0-9.eE]+$/ || $2 !~ /^[-+0-9.eE]+$/ { print "line " NR ": not two numbers: " $0; bad = 1; exit }
        { scale = abs($1) > abs($2) ? abs($1) : abs($2) }
        abs($1 - $2) > tolerance * scale + floor { print "line " NR ": " $1 " is not close to " $2; bad = 1; exit }
        END { if (NR == 0) { print "no numbers"; bad = 1 } exit bad }' >&2
}

gm_assert_equal() {
    [ "$1" = "$2" ] || { printf "got:    %s\nwanted: %s\n" "$1" "$2" >&2; return 1; }
}

gm_assert_fails() {
    local status=0 wanted=$1 text=$2 said
    shift 2
    said=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
    [ "$status" -eq "$wanted" ] || { echo "exit status $status, not $wanted: $said" >&2; return 1; }
    [ "$(wc -l <<<"$said")" -eq 1 ] || { echo "more than one line: $said" >&2; return 1; }
    [[ $said == *"$text"* ]] || { printf "said:   %s\nwanted: %s\n" "$said" "$text" >&2; return 1; }
}

gm_run_killed() {
    local model=$1 steps=$2 kills=0 pid until
    shift 2
    while [ "$(gm-show --step "$model")" -lt "$steps" ]; do
        until=$(($(gm-show --step "$model") + RANDOM % (steps / 5)))
        setsid "$@" &>/dev/null &
        pid=$!
        if [ "$kills" -lt 5 ]; then
            while kill -0 "$pid" 2>/dev/null && [ "$(gm-show --step "$model")" -lt "$until" ]; do sleep "0.00$((RANDOM % 10))"; done
            kill -KILL -- "-$pid" 2>/dev/null || true
            wait "$pid" || true
            [ "$(gm-show --step "$model")" -ge "$steps" ] || kills=$((kills + 1))
        fi
        wait "$pid" || true
    done
    [ "$kills" -ge 1 ] || { echo "$model: trained before a kill" >&2; return 1; }
}

gm_same_model() {
    local dir status=0
    dir=$(mktemp -d) || return 1
    { gm-save --no-provenance -o "$dir/a" "$1" && gm-save --no-provenance -o "$dir/b" "$2" && cmp "$dir/a" "$dir/b"; } || status=1
    rm -rf "$dir"
    return $status
}

gm_until_trained() {
    local i
    for ((i = 0; i < 600; i++)); do
        if gm-show "$1" | grep -q "process ${2:-[0-9]*} trains it now"; then return; fi
        sleep 0.1
    done
    echo "process ${2:-any} does not train $1" >&2
    return 1
}

gm_python() {
    /usr/bin/python3 "$@"
}

gm_coverage() {
    gm-classify -m "$1" "$2" | awk -F, 'NR > 1 { n[$1]++; rows++ } END { for (c in n) found += n[c] >= 0.02 * rows; print found + 0 }'
}
