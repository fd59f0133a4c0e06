# What a hostile but fair user found: each once hurt.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
    gm-init -o W.gm --data iris.csv --label species features dense:8:relu dense:classes:softmax >/dev/null
    gm-batch --train W.gm -b 10 -n 3 iris.csv >w.gmt
}

edit() { # STATEMENTS: on each record r of standard input
    gm_python -c '
import sys, msgpack, zstandard
d = zstandard.ZstdDecompressor().stream_reader(sys.stdin.buffer, read_across_frames=True)
for r in msgpack.Unpacker(d, max_buffer_size=1 << 30):
    if "end" not in r: exec(sys.argv[1])
    sys.stdout.buffer.write(msgpack.packb(r))' "$1"
}

said() { # what a command says on stderr, and that its status is the first word
    local wanted=$1 status=0
    shift
    text=$("$@" 2>&1 >/dev/null) || status=$?
    [ "$status" -eq "$wanted" ] || { echo "status $status, not $wanted: $text" >&2; return 1; }
    [ "$(wc -l <<<"$text")" -le 1 ] || { echo "more than one line: $text" >&2; return 1; }
}

@test "closed descriptors: no message is written over a model" {
    gm-grad -m W.gm --loss 'ce(x,y)' <w.gmt 2>/dev/null | head -c 100000 >/dev/null || true
    gm-batch --train W.gm -b 10 -n 1 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' >g.gmt
    run -1 bash -c 'gm-step -m W.gm <g.gmt >&- 2>&-'
    gm-show W.gm >/dev/null
    run -1 bash -c 'gm-forward -m W.gm <&- 2>&1 >/dev/null'
    [[ $output == *"standard input"*"Bad file descriptor"* ]]
    run -1 bash -c 'gm-show W.gm 2>&1 >&-'
    gm-batch --train W.gm -b 10 -n 1 iris.csv | gm-log -q -o l.csv >&-
}

@test "info of the wrong kind is no crash" {
    edit 'r["info"] = {"grads": 7, "stepped": "text"}' <w.gmt | head -c 100000 >odd.gmt
    gm-batch --train W.gm -b 10 -n 1 iris.csv | edit 'r["info"] = {"grads": 7, "stepped": "text"}' | gm-grad -m W.gm --loss 'ce(x,y)' |
        edit 'r["info"]["stepped"] = "text"' | gm-step -m W.gm >/dev/null
    gm_assert_equal "$(gm-show --step W.gm)" 1
    for value in -5 99; do
        edit "r['info'] = {'stepped': {'W': $value}}" <w.gmt >odd.gmt
        run -1 bash -c "gm-forward -m W.gm <odd.gmt 2>&1 >/dev/null"
        [[ $output == *"info.stepped.W is $value in a record of step 0"* ]]
    done
}

@test "a model that no record can bring to the first step fails at once" {
    gm-batch --train W.gm -b 10 -n 3 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm | gm-log -q
    gm-init -o V.gm --data iris.csv --label species features dense:classes:softmax >/dev/null
    line="gm-batch --train W.gm -b 10 -n 9 iris.csv | gm-forward -m V.gm -o v | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm |
        gm-grad -m V.gm --loss 'ce(x,y)' | gm-step -m V.gm | gm-log -q"
    for way in "gm-pipe" "bash -o pipefail -c"; do
        run timeout 5 $way "$line"
        [ "$status" -eq 1 ]
        [[ $output == *"gm-forward: record 0: V.gm is at step 0, and the first record is of step 3: is it named in gm-batch --train?"* ]]
    done
}

@test "a writer that is interrupted settles its model: it survives a reboot" {
    for signal in INT TERM HUP; do
        gm-init --force -o W.gm --data iris.csv --label species features dense:8:relu dense:classes:softmax >/dev/null
        # shells without job control let background jobs ignore SIGINT, and nohup SIGHUP
        env --default-signal gm-pipe "gm-batch --train W.gm -b 10 -n 1000000 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm | gm-log -q" &
        pid=$!
        while [ "$(gm-show --step W.gm)" -lt 10 ]; do
            kill -0 $pid
            sleep 0.02
        done
        kill -$signal $pid
        status=0
        wait $pid || status=$?
        [ "$status" -eq $((128 + $(kill -l $signal))) ] || { echo "status $status"; return 1; }
        # another boot id is all that a reboot leaves behind
        boot=$(cat /proc/sys/kernel/random/boot_id)
        sed "s/$boot/00000000-0000-0000-0000-000000000000/" W.gm >R.gm
        run -1 cmp -s W.gm R.gm
        [ "$(gm-show --step R.gm)" -ge 10 ]
    done
    # one that was killed is refused after a reboot
    gm-pipe "gm-batch --train W.gm -b 10 -n 1000000 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm | gm-log -q" &
    pid=$!
    step=$(gm-show --step W.gm)
    while [ "$(gm-show --step W.gm)" -le "$step" ]; do
        kill -0 $pid
        sleep 0.02
    done
    kill -KILL $pid
    wait $pid || true
    gm-show --step W.gm
    sed "s/$boot/00000000-0000-0000-0000-000000000000/" W.gm >R.gm
    gm_assert_fails 1 "restore it: gm-init --force -o R.gm --from" gm-show --step R.gm
}

@test "models that encode differently are not trained on the same rows" {
    gm-init -o A.gm --data wine.csv --label cultivar --scale range:0,1 features dense:classes:softmax >/dev/null
    gm-init -o B.gm --data wine.csv --label cultivar --scale standard features dense:classes:softmax >/dev/null
    gm_assert_fails 1 "B.gm knows other columns, classes or scaling than A.gm" gm-batch --train A.gm,B.gm -n 5 wine.csv
    gm_assert_fails 1 "W.gm knows other columns, classes or scaling than A.gm" gm-batch -m A.gm --train W.gm -n 5 wine.csv
    gm-init -o C.gm -s 9 --data wine.csv --label cultivar --scale range:0,1 features dense:1 >/dev/null
    gm-batch --train A.gm,C.gm -n 5 -b 8 wine.csv >/dev/null
}

@test "no output option replaces a model" {
    gm_assert_fails 1 "W.gm: is a model" gm-save -o W.gm W.gm
    said 1 gm-step -m W.gm --checkpoint W.gm <w.gmt
    gm-init -o G.gm 4 dense:64:tanh >/dev/null
    gm_assert_fails 1 "W.gm: is a model" gm-sample -m G.gm -n 4 --png W.gm --shape 8x8
    gm-show W.gm >/dev/null
}

@test "one tensor as numbers and as class numbers" {
    gm-init -o yy.gm --data iris.csv --label species 1+classes dense:2 >/dev/null
    gm-batch -m W.gm -b 50 iris.csv | gm-forward -m yy.gm -i y,y -o o | gm-show >lines.txt
    gm_assert_equal "$(wc -l <lines.txt)" 3
}

@test "gm-log to what is no file, over a limit, of records without scalars, of names that need quotes" {
    gm-log -q -o /dev/null <w.gmt
    said 1 timeout 10 gm-log -q -o /dev/full <w.gmt
    [[ $text == *"/dev/full: No space left on device"* ]]
    gm-log -q -o e.csv <w.gmt
    gm-log -q -o e.csv <w.gmt
    gm_assert_equal "$(tr '\n' ' ' <e.csv)" "step 0 1 2 "
    edit 'r["scalars"] = {"a,b": 1.5, "c\"d": 2}' <w.gmt >odd.gmt
    gm-log -q -o o.csv <odd.gmt
    gm-log -q -o o.csv <odd.gmt
    gm_assert_equal "$(head -2 o.csv | tr '\n' ' ')" 'step,a_b,c_d 0,1.5,2 '
    gm_assert_equal "$(wc -l <o.csv)" 4
}

@test "a file over its size limit is an error, and leaves nothing behind" {
    gm-init -o big.gm 100 dense:100 >/dev/null
    mkdir empty
    for command in "gm-save -o empty/u.gmt big.gm" "gm-init -o empty/u.gm 100 dense:100" "gm-sample -m big.gm -n 400 --png empty/u.png --shape 10x10"; do
        said 1 bash -c "ulimit -f 1; exec $command"
        [[ $text == *"File too large"* ]]
        gm_assert_equal "$(ls -A empty)" ""
    done
}

@test "a resumed run logs the loss of the step that was done, if it can still be known" {
    line() { echo "gm-batch --train W.gm -b 10 -n $1 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm"; }
    cp W.gm V.gm
    bash -euo pipefail -c "$(line 5) | gm-log -q -o a.csv"
    cp V.gm W.gm
    bash -euo pipefail -c "$(line 4) | gm-log -q -o b.csv"
    gm-init -o U.gm 4 dense:3 >/dev/null
    # W takes step 4, its record is lost; U, at an older step, makes gm-batch give it again
    bash -euo pipefail -c "$(line 5) >/dev/null"
    gm-batch --train W.gm,U.gm -b 10 -n 1 iris.csv | gm-show >/dev/null
    gm-batch --train U.gm -b 10 -n 5 --label species --scale standard iris.csv |
        gm-grad -m U.gm --loss 'mse(x,0)' | gm-step -m U.gm | tail -c 1000000 >/dev/null
    gm_assert_equal "$(gm-show --step W.gm)" 5
    gm-init --force -o U.gm 4 dense:3 >/dev/null
    gm-batch --train U.gm -b 10 -n 4 --label species --scale standard iris.csv | gm-grad -m U.gm --loss 'mse(x,0)' | gm-step -m U.gm | gm-log -q
    gm-batch --train W.gm,U.gm -b 10 -n 5 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | gm-step -m W.gm | gm-log -q -o b.csv
    cmp a.csv b.csv
}

@test "a model that was replaced while it was trained: the run does not end well" {
    gm-batch --train W.gm -b 10 -n 3 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | { cat; until [ -e moved ]; do sleep 0.1; done; } | { gm-step -m W.gm >/dev/null 2>err.txt || echo "status $?" >>err.txt; } &
    pid=$!
    gm_until_trained W.gm
    gm-init -o N.gm 4 dense:3 >/dev/null
    mv N.gm W.gm
    touch moved
    wait $pid
    gm_assert_equal "$(cat err.txt)" "gm-step: W.gm: was removed or replaced while it was trained: what it learned is lost
status 1"
}

@test "the helpers themselves can fail" {
    run -1 gm_same_model none.gm nothing.gm
    run -1 gm_assert_close 1e-9 5e-7
    run -1 gm_assert_close 0.001 0.0010009
    gm_assert_close 0.001 0.0010009 1e-3
    gm_assert_close 1e-9 5e-7 1e-6 1e-6
    run -1 gm_assert_close nan nan
    run -1 gm_assert_close '' ''
    run -1 gm_assert_fails 1 anything true
    run -1 gm_assert_equal a b
}

@test "options that contradict or repeat themselves" {
    gm_assert_fails 2 "'x' is named twice" gm-grad -m W.gm --loss 'ce(x,y)' --input-grad x,x
    gm_assert_fails 2 "--step needs a MODEL" gm-show --step w.gmt
    gm_assert_fails 2 "exclude each other" gm-classify -m W.gm --proba --eval iris.csv
    gm_assert_fails 1 "W.gm takes rows of data, not noise" gm-sample -m W.gm -n 3
    gm_assert_fails 2 "--train needs an end" gm-batch --train W.gm iris.csv
    gm_assert_fails 2 "-b goes with -n" gm-noise --dim 3 -b 4
}

@test "rows that no data stands behind take no memory" {
    { printf '\202\242gm\001\244rows\316\177\377\377\377'; printf '\203\242gm\001\243end\303\247records\001'; } >rows.gmt
    gm-show rows.gmt | grep -q "rows 2147483647"
    gm_assert_fails 1 "gm-noise: record 0: tensor 'z': 17179869176 bytes, above the limit of 1073741824 (--max-tensor)" \
        bash -c 'gm-noise --dim 2 <rows.gmt'
}

@test "gm-pipe cuts words as a shell does" {
    for words in '-o "a\b"' "-o 'a\\b'" '-o a\ b' '-o a"b c"d' '-o "a\\b"' "-o 'it'\"'\"'s'"; do
        gm_assert_equal "$(gm-pipe "gm-noise -n 2 --dim 1 $words | gm-show")" "$(bash -c "gm-noise -n 2 --dim 1 $words | gm-show")"
    done
}

@test "gm-show: records of another width, a tensor without a number" {
    { gm-noise -n 2 --dim 2 -o x; gm-noise -n 2 --dim 3 -o x; } >two.gmt
    run -1 bash -c 'gm-show --csv x two.gmt 2>&1 >/dev/null'
    [[ $output == *"tensor 'x' has 3 columns here, 2 before"* ]]
    gm-noise -n 1 --dim 1 -o x | edit 'r["tensors"]["x"]["data"] = b"\0\0\xc0\x7f"' >nan.gmt
    [[ $(gm-show --json nan.gmt) == *'"min":null,"max":null,"mean":null,"not_finite":1'* ]]
    [[ $(gm-show nan.gmt) == *"(1 not finite)"* ]]
}

@test "a tool that waits, for input or for a step, ends when nobody reads its output" {
    gm-init --force -o W.gm --data iris.csv features dense:1 >/dev/null
    gm-batch --train W.gm -n 2 iris.csv >two.gmt
    mkfifo in
    sleep 60 >in &
    for command in "gm-forward -m W.gm" "gm-noise --dim 2" "gm-grad -m W.gm --loss l2()"; do
        (timeout 20 $command <in || echo $? >status) | true
        gm_assert_equal "$(cat status)" 141 # SIGPIPE
    done
    # gm-step settles its model and says so
    (timeout 20 gm-step -m W.gm <in 2>err.txt || echo $? >status) | true
    gm_assert_equal "$(cat status) $(cat err.txt)" "1 gm-step: standard input: record 0: nobody reads standard output any more"
    kill %1
    # the second record waits for a gm-step that is not there
    (GM_WAIT_SECONDS=60 timeout 20 gm-forward -m W.gm <two.gmt || echo $? >status) | head -c 10 >/dev/null
    gm_assert_equal "$(cat status)" 141
}

@test "files are as private as umask says, and what lies under a temporary name is not written to" {
    (
        umask 077
        gm-init -o P.gm --data iris.csv features dense:1 >/dev/null
        gm-batch -b 10 -n 4 --train P.gm iris.csv | gm-grad -m P.gm --loss 'mse(x,1)' | gm-step -m P.gm --checkpoint P.gmt:1 | gm-log -q -o P.csv
        gm-save -o Q.gmt P.gm
        gm-init -o G.gm 4 dense:4 >/dev/null
        gm-sample -m G.gm -n 4 --png P.png --shape 2x2
    )
    gm_assert_equal "$(stat -c '%a' P.gm G.gm P.gmt P.csv Q.gmt P.png | sort -u)" 600
    # a hard link, of which a killed process's temporary file is not to be told apart by its name
    echo precious >victim
    ln victim R.gmt.tmp
    gm-save -o R.gmt P.gm
    gm_assert_equal "$(cat victim)" precious
    cmp Q.gmt R.gmt
    # a symbolic link is not followed
    ln -s victim R.gmt.tmp
    gm_assert_fails 1 "R.gmt.tmp: cannot create" gm-save -o R.gmt P.gm
    gm_assert_equal "$(cat victim)" precious
    # one that was open to all
    rm R.gmt.tmp R.gmt
    touch R.gmt.tmp
    chmod 666 R.gmt.tmp
    (umask 077 && gm-save -o R.gmt P.gm)
    gm_assert_equal "$(stat -c %a R.gmt)" 600
}
