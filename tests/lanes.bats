#!/usr/bin/env bats
# Records that neighbours hand over in shared memory (gm-stream(5), LANES).

bats_require_minimum_version 1.5.0

setup() {
    load helpers
    cd "$BATS_TEST_TMPDIR"
}

# true if process $1 shares memory with a neighbour
shares() {
    grep -q 'memfd:gm-lane' "/proc/$1/maps"
}

# waits until it does
until_shares() {
    local tries
    for tries in {1..3000}; do
        if shares "$1"; then return 0; fi
        sleep 0.02
    done
    echo "process $1 shares no memory after $tries tries" >&2
    return 1
}

@test "stages share memory, two by two, and the records are those of the pipe" {
    mkfifo a b c
    gm-noise -n 100000 -b 100 --dim 50 -s 7 -o x >a &
    local first=$!
    gm-noise --dim 30 -s 8 <a >b &
    local middle=$!
    gm-show --stats <b >c & # which waits until its text is read
    local last=$!
    exec 8<c
    until_shares $first
    until_shares $middle
    until_shares $last
    cat <&8 >by-lane.txt
    wait $first
    wait $middle
    wait $last
    gm-noise -n 100000 -b 100 --dim 50 -s 7 -o x | GM_LANES=0 gm-noise --dim 30 -s 8 | gm-show --stats >by-pipe.txt
    cmp by-lane.txt by-pipe.txt
}

@test "what others read is frames" {
    gm-noise -n 1000 -b 100 --dim 50 -s 7 -o x >file.gmt
    gm-noise -n 1000 -b 100 --dim 50 -s 7 -o x | cat >cat.gmt
    gm-noise -n 1000 -b 100 --dim 50 -s 7 -o x | tee tee.gmt | gm-show --stats >tee.txt
    gm-show --stats file.gmt >file.txt
    cmp file.txt tee.txt
    cmp cat.gmt tee.gmt
    zstd -dcq file.gmt >file
    zstd -dcq tee.gmt >tee
    cmp file tee
}

@test "GM_LANES=0 on either side, and what it may be" {
    mkfifo a b
    gm-noise --dim 50 -b 100 -n 100000000 -o x >a &
    local first=$!
    GM_LANES=0 gm-noise --dim 1 <a >b &
    local middle=$!
    gm-log -q -o run.csv <b &
    local last=$!
    until [ -s run.csv ] || ! kill -0 $last; do sleep 0.02; done
    kill -0 $first $middle $last
    run -1 shares $first
    run -1 shares $middle
    kill $first
    wait || true
    gm_assert_fails 2 "gm-noise: GM_LANES: expected 0 or 1, got 'off'" env GM_LANES=off gm-noise -n 1 --dim 1
}

@test "a writer that is killed: what it handed over is there, and the stream is cut" {
    mkfifo a
    gm-noise -n 100000000 -b 100 --dim 50 -o x >a &
    local writer=$!
    gm-show --json <a >records.txt 2>said.txt &
    local reader=$! status=0
    until_shares $writer
    until_shares $reader
    sleep 0.2
    kill -KILL $writer
    wait $writer || true
    wait $reader || status=$?
    gm_assert_equal "$status" 1
    grep -Eq 'gm-show: standard input: stream cut off (after|in) record [1-9][0-9]*' said.txt
}

@test "a reader that is killed, and another one at the same named pipe" {
    mkfifo a
    exec 9<>a # the pipe stays
    gm-noise -n 3000000 -b 100 --dim 50 -s 7 -o x >a 9<&- &
    local writer=$!
    gm-show --stats <a >/dev/null 9<&- &
    local reader=$! status=0
    until_shares $writer
    until_shares $reader
    kill -STOP $writer
    sleep 0.2 # all that was handed over is read
    kill -KILL $reader
    wait $reader || true
    exec 8<a
    gm-log -q -o run.csv <&8 8<&- 9<&- 2>said.txt &
    reader=$!
    kill -CONT $writer
    exec 8<&- 9<&-
    wait $writer || true # ended by SIGPIPE where the reader refused
    # what the first one read is missing: the end record tells, or a ticket that was for the first one, or half a frame
    wait $reader || status=$?
    gm_assert_equal "$status" 1
    grep -Eq 'the end record counts 30000 records, but there were|handed to another reader|not a gm stream' said.txt
}
