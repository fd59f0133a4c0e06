#!/usr/bin/env bats
# What is made of CSV files and kept beside them (gm-batch(1), Caches): the same bits with and without, and never those of
# other data.

setup_file() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    cp "$BATS_TEST_DIRNAME"/../examples/data/digits.csv .
    gm-init -o m.gm --data digits.csv --label digit features dense:classes:softmax >/dev/null
}

setup() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    rm -rf t
    mkdir t
    cp digits.csv t/d.csv
    one_pass=(-m m.gm -b 100 t/d.csv)
}

batch() {
    GM_LEVEL=store gm-batch "$@" 2>said
}

caches() {
    find t -name '*.gmcache' | wc -l
}

# the options give the stream $1, twice from a cache that the first of them made
same_as() {
    local wanted=$1
    shift
    for _ in 1 2 3; do batch --cache on "$@" | cmp - "$wanted"; done
}

@test "one pass, shuffled epochs, folds, with and without a model: the same bits" {
    for options in "-m m.gm -b 100" "--train m.gm -e 3 -b 7 -s 5" "-m m.gm --fold 2/3" "--train m.gm -e 2 -b 50 --fold 2/3 --hold-out" \
        "--label digit --scale standard" "--label digit --fold 1/4:9 --scale quantile" "--scale range:0,1"; do
        rm -f t/*.gmcache
        # shellcheck disable=SC2086
        batch --cache off $options t/d.csv >plain
        [ "$(caches)" -eq 0 ]
        # shellcheck disable=SC2086
        same_as plain $options t/d.csv
        [ "$(caches)" -ge 1 ]
    done
}

@test "a cache of all rows serves any fold of them" {
    batch --cache on "${one_pass[@]}" >all
    for options in "--fold 1/3" "--fold 3/3 --hold-out"; do
        # shellcheck disable=SC2086
        batch --cache off $options "${one_pass[@]}" >plain
        # shellcheck disable=SC2086
        same_as plain $options "${one_pass[@]}"
    done
    [ "$(caches)" -eq 1 ]
}

@test "several files, some with a cache; categories, missing numbers and what the model does not know" {
    awk 'BEGIN { print "n,colour,k"; for (i = 0; i < 3000; i++) print (i % 7 ? i : "") "," (i % 3 ? "red" : "blue") "," (i % 2 ? "yes" : "no") }' >t/a.csv
    awk 'BEGIN { print "k,n,m,colour"; for (i = 0; i < 2000; i++) print (i % 2 ? "no" : "yes") "," i ",," (i % 5 ? "blue" : "gr" i % 2) }' >t/b.csv
    sed 's/,colour/,m,colour/; s/,\(red\|blue\)/,5,\1/' t/a.csv >t/c.csv
    gm-init -o t/k.gm --data t/c.csv --label k features dense:classes:softmax >/dev/null
    for options in "-m t/k.gm" "--train t/k.gm -e 2 -b 64" "-m t/k.gm --fold 1/2" "--train t/k.gm -e 1 --fold 1/2 --hold-out"; do
        # shellcheck disable=SC2086
        batch --cache off $options t/c.csv t/b.csv >plain
        mv said told
        grep -q "2000 missing numbers\|1000 missing numbers" told
        grep -q "does not know, as 'gr" told
        rm -f t/*.gmcache
        # shellcheck disable=SC2086
        batch --cache on $options t/b.csv >/dev/null
        [ "$(caches)" -eq 1 ]
        # shellcheck disable=SC2086
        same_as plain $options t/c.csv t/b.csv
        # told the same each time
        # shellcheck disable=SC2086
        diff <(sed "s/as 'gr.'/as 'gr'/" said) <(sed "s/as 'gr.'/as 'gr'/" told)
        [ "$(caches)" -eq 2 ]
    done
}

@test "a cache is made once, and said so" {
    batch --cache on "${one_pass[@]}" >/dev/null
    grep -q "d.csv: its encoded rows are kept beside it" said
    made=$(stat -c %i:%y t/*.gmcache)
    for options in "-m m.gm" "--train m.gm -e 1" "-m m.gm --fold 1/2"; do
        # shellcheck disable=SC2086
        batch --cache on $options t/d.csv >/dev/null
        [ ! -s said ]
    done
    gm_assert_equal "$(stat -c %i:%y t/*.gmcache)" "$made"
}

@test "changed data are read anew: rows added, a digit changed, the same again with its old time" {
    batch --cache on "${one_pass[@]}" >before
    tail -n 1 t/d.csv >>t/d.csv
    batch --cache off "${one_pass[@]}" >plain
    cmp -s before plain && return 1
    same_as plain "${one_pass[@]}"
    touch -r t/d.csv stamp
    # in the middle, behind the first and before the last 64 KiB, with size and time as they were
    gm_python -c "
data = bytearray(open('t/d.csv', 'rb').read())
at = data.index(b',', len(data) // 2) + 1
data[at] = ord('7') if data[at] != ord('7') else ord('6')
open('t/d.csv', 'r+b').write(data)"
    touch -r stamp t/d.csv
    batch --cache off "${one_pass[@]}" >other
    cmp -s plain other && return 1
    same_as other "${one_pass[@]}"
    touch t/d.csv
    same_as other "${one_pass[@]}"
    [ "$(caches)" -eq 1 ]
}

@test "what was damaged or cut is made anew, and said; never used" {
    batch --cache off "${one_pass[@]}" >plain
    batch --cache on "${one_pass[@]}" >/dev/null
    cache=$(find t -name '*.gmcache')
    cp "$cache" good
    size=$(wc -c <good)
    for at in 0 9 17 30 60 85 90 100 4096 4097 $((size / 2)) $((size - 17)) $((size - 1)); do
        cp good "$cache"
        gm_python -c "
f = open('$cache', 'r+b')
f.seek($at)
byte = f.read(1)[0]
f.seek($at)
f.write(bytes([byte ^ 4]))"
        batch --cache on "${one_pass[@]}" | cmp - plain
        grep -q "its cache is damaged, and is made anew" said
        cmp <(tail -c +4097 good) <(tail -c +4097 "$cache")
    done
    for n in 0 1 100 4095 4096 5000 $((size - 1)); do
        head -c "$n" good >"$cache"
        batch --cache on "${one_pass[@]}" | cmp - plain
        grep -q "its cache is damaged, and is made anew" said
    done
    { cat good; echo; } >"$cache"
    batch --cache on "${one_pass[@]}" | cmp - plain
    grep -q "its cache is damaged" said
}

@test "a call that fails or is killed leaves no cache" {
    sed '$s/,/,x/' digits.csv >t/d.csv
    batch --cache on "${one_pass[@]}" >/dev/null && return 1
    grep -q "is not a number" said
    # more than a pipe holds
    { cat digits.csv && for _ in 1 2 3 4 5 6 7 8; do tail -n +2 digits.csv; done; } >t/d.csv
    (GM_LEVEL=store gm-batch --cache on "${one_pass[@]}" 2>said || true) | head -c 1000 >/dev/null
    mkfifo t/pipe
    gm-batch --cache on "${one_pass[@]}" >t/pipe 2>said &
    exec 5<t/pipe
    head -c 1000 <&5 >/dev/null
    kill -9 $!
    exec 5<&-
    wait $! || true
    rm t/pipe
    [ "$(find t -type f | wc -l)" -eq 1 ]
}

@test "where none can be written, all goes as without" {
    batch --cache off "${one_pass[@]}" >plain
    batch --cache off --train m.gm -e 1 t/d.csv >shuffled
    long=t/$(printf 'd%.0s' {1..240}).csv
    cp t/d.csv "$long"
    batch --cache on -m m.gm -b 100 "$long" | cmp - plain
    grep -q "no cache beside it: File name too long" said
    (ulimit -f 64 && GM_LEVEL=store exec gm-batch --cache on --train m.gm -e 1 t/d.csv 2>said) | cmp - shuffled
    grep -q "no cache beside it: File too large" said
    [ "$(caches)" -eq 0 ]
    GM_LEVEL=store gm-batch --cache on -m m.gm -b 100 - <t/d.csv 2>said | cmp - plain
    [ ! -s said ]
    [ "$(id -u)" -ne 0 ] || return 0 # who writes anywhere
    chmod a-w t
    batch --cache on "${one_pass[@]}" | cmp - plain
    chmod u+w t
    grep -q "no cache beside it: Permission denied" said
}

@test "small files have none unless it is asked for; who is believed, and who reads it" {
    batch "${one_pass[@]}" >plain
    [ "$(caches)" -eq 0 ]
    chmod 640 t/d.csv
    batch --cache on "${one_pass[@]}" >/dev/null
    cache=$(find t -name '*.gmcache')
    gm_assert_equal "$(stat -c %a "$cache")" 640
    # one that others can write is not used, but replaced
    chmod 666 "$cache"
    same_as plain "${one_pass[@]}"
    gm_assert_equal "$(stat -c %a "$cache")" 640
    # nor one behind a link
    mv "$cache" elsewhere
    ln -s ../elsewhere "$cache"
    same_as plain "${one_pass[@]}"
    [ -f "$cache" ] && [ ! -L "$cache" ]
    gm_assert_fails 2 "--cache: 'yes' is not off, auto or on" gm-batch --cache yes "${one_pass[@]}"
}

@test "at most four beside a file, none of older data, and no other file goes" {
    touch t/d.csv.0123456789abcdef.gmcache t/d.csv.gmcache
    for scale in none standard quantile range:0,1 range:0,2; do
        batch --cache on --label digit --scale $scale t/d.csv >/dev/null
    done
    [ "$(find t -name 'd.csv.*.gmcache' -size +0 | wc -l)" -eq 4 ]
    touch t/d.csv
    batch --cache on "${one_pass[@]}" >/dev/null
    [ "$(find t -name 'd.csv.*.gmcache' -size +0 | wc -l)" -eq 1 ]
    [ -e t/d.csv.0123456789abcdef.gmcache ] && [ -e t/d.csv.gmcache ]
}

@test "several calls that make one cache at once" {
    batch --cache off "${one_pass[@]}" >plain
    local calls=()
    for i in 1 2 3 4; do
        GM_LEVEL=store gm-batch --cache on "${one_pass[@]}" >"out.$i" 2>"said.$i" &
        calls+=($!)
    done
    wait "${calls[@]}"
    for i in 1 2 3 4; do cmp "out.$i" plain; done
    [ "$(caches)" -eq 1 ]
    same_as plain "${one_pass[@]}"
}

@test "a pipeline in one process: the same model with a cache and without" {
    for cache in off on on; do
        gm-init --force -o t/g.gm -s 3 --data t/d.csv --label digit features dense:classes:softmax >/dev/null
        gm-pipe "gm-batch --cache $cache --train t/g.gm -e 2 t/d.csv | gm-grad -m t/g.gm --loss 'ce(x,y)' | gm-step -m t/g.gm | gm-log -q" 2>said
        if [ "$cache" = off ]; then cp t/g.gm plain.gm; else gm_same_model t/g.gm plain.gm; fi
    done
}

# Without a cache, and with one, each of these calls fails in turn: the stream is the same, or status 1 and a line say why;
# what is left beside the file is good, or made anew.
faulty() {
    local among=$1 error=$2 stride=$3 at status PATH=$GM_BUILD/tests/dynamic:$PATH
    for ((at = 1; at < 4000; at += stride)); do
        rm -f told
        status=0
        FAULT_TOLD=$PWD/told FAULT_CALLS=$among FAULT_AT=$at FAULT_DO=$error LD_PRELOAD=$GM_BUILD/tests/fault/shim.so \
            gm-batch --cache on "${one_pass[@]}" >out 2>said || status=$?
        [ "$status" -le 1 ] || { echo "$among, call $at: status $status" >&2; return 1; }
        if [ "$status" -eq 0 ]; then cmp out plain; else [ "$(wc -l <said)" -ge 1 ]; fi
        batch --cache on "${one_pass[@]}" | cmp - plain
        [ -s told ] || return 0
        # now with the cache, now without
        if ((at % (2 * stride) == 1)); then rm -f t/*.gmcache; fi
    done
}

@test "calls that fail" {
    [ -z "${GM_SANITIZED:-}" ] || skip "sanitizers have a malloc of their own"
    [ -e "$GM_BUILD/tests/fault/shim.so" ] || skip "the shim is for x86-64"
    export GM_LEVEL=store
    head -n 300 digits.csv >t/d.csv
    batch --cache off "${one_pass[@]}" >plain
    faulty openat EACCES 1
    faulty read,pread64 EIO 2
    faulty write,pwrite64 ENOSPC 1
    faulty newfstatat,lseek,fcntl EIO 3
    faulty unlink,nanosleep,close EACCES 1
    faulty malloc ENOMEM 97
    gm_assert_equal "$(find t -type f | wc -l)" 2
}
