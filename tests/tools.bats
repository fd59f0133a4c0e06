# What all tools share: help, version, start-up, what they load; gm-show, gm-log, gm-save, gm-noise, gm-forward in their own right.
load helpers

bats_require_minimum_version 1.5.0

tools="gm-init gm-batch gm-noise gm-forward gm-grad gm-reduce gm-allreduce gm-step gm-sample gm-classify gm-show gm-log gm-save gm-pipe"
algebra="gm-forward gm-grad gm-sample gm-classify gm-pipe" # those that multiply matrices

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

@test "--help is on stdout, names the tool and ends well; --version says which BLAS where there is one" {
    for tool in $tools; do
        $tool --help >help.txt 2>err.txt
        grep -q "^usage: $tool " help.txt
        [ ! -s err.txt ]
        $tool -h | cmp - help.txt
        version=$($tool --version)
        if [[ " $algebra " == *" $tool "* ]]; then [[ $version == "$tool "[0-9]*"(OpenBLAS "* ]]
        else [[ $version =~ ^$tool\ [0-9.]+$ ]]; fi
    done
}

@test "--version takes at most 5 ms, and tools without linear algebra do not hold BLAS" {
    for tool in $tools; do
        path=$(command -v "$tool")
        if [[ " $algebra " == *" $tool "* ]]; then continue; fi
        run -1 grep -qi blas <(ldd "$path")
        [ "$(stat -c %s "$path")" -lt 5000000 ] # OpenBLAS alone has 25 MB
    done
    [ -z "${GM_SANITIZED:-}" ] || skip "under sanitizers start-up is not the tools'"
    for tool in $tools; do
        # the best of many, on a machine that does other things too
        best=1000000
        for ((i = 0; i < 500 && best > 5000; i++)); do
            start=${EPOCHREALTIME/./}
            "$tool" --version >/dev/null
            took=$((${EPOCHREALTIME/./} - start))
            if [ $took -lt $best ]; then best=$took; fi
        done
        echo "$tool $best us"
        [ "$best" -le 5000 ]
    done
}

# has_threads COUNT COMMAND...: whether it comes to so many threads, and to no more, while it waits for a stream
has_threads() {
    local wanted=$1 count=0 i
    "${@:2}" <pipe >/dev/null 2>&1 &
    local started=$!
    exec 7>pipe
    for ((i = 0; i < 200 && count < wanted; i++)); do
        sleep 0.02
        count=$(awk '$1 == "Threads:" { print $2 }' "/proc/$started/status")
    done
    exec 7>&-
    wait $started || true
    gm_assert_equal "$count" "$wanted"
}

@test "GM_THREADS is what -j is by default" {
    mkfifo pipe
    gm-init -o D.gm 4 dense:1:sigmoid >/dev/null
    export GM_THREADS=3
    has_threads 3 gm-forward -m D.gm -i x -o y
    has_threads 3 gm-grad -m D.gm --loss 'bce(x,1)'
    has_threads 4 gm-step -m D.gm # one waits for signals
    has_threads 3 gm-step -m D.gm -j 2
    has_threads 2 gm-pipe -j 2 'gm-forward -m D.gm -i x -o y | gm-log'
    gm_assert_fails 2 "gm-step: GM_THREADS: expected a whole number from 1 to 64, got 'two'" env GM_THREADS=two gm-step -m D.gm
    gm_assert_fails 2 "gm-step: --threads: '65' is not a whole number from 1 to 64" gm-step -m D.gm -j 65
    GM_THREADS=two gm-noise -n 1 --dim 1 >/dev/null # which takes no -j
}

@test "gm-noise: the same numbers for the same seed and step, however batches are cut" {
    gm-noise -n 100 -b 30 --dim 7 -s 5 >a.gmt
    gm-noise -n 100 -b 100 --dim 7 -s 5 >b.gmt
    gm-noise -n 100 -b 100 --dim 7 -s 6 >c.gmt
    cmp <(gm_tensor a.gmt z) <(gm_tensor b.gmt z)
    run -1 cmp -s <(gm_tensor a.gmt z) <(gm_tensor c.gmt z)
    gm-noise -n 20000 --dim 5 | gm-show --csv z | awk -F, 'NR > 1 { for (i = 1; i <= 5; i++) { n++; s += $i; q += $i * $i } }
        END { m = s / n; v = q / n - m * m; exit !(n == 100000 && m < 0.01 && m > -0.01 && v < 1.02 && v > 0.98) }'
    gm-noise -n 20000 --dim 5 --dist uniform | gm-show --csv z | awk -F, 'NR > 1 { for (i = 1; i <= 5; i++) { n++; s += $i; if ($i <= -1 || $i >= 1) bad = 1 } }
        END { m = s / n; exit bad || m > 0.01 || m < -0.01 }'
    # a record with a step has its own numbers, whatever came before it
    gm-init -o w.gm --data wine.csv --label cultivar features dense:1 >/dev/null
    gm-batch -b 32 --train w.gm -n 4 wine.csv | gm-noise --dim 3 >d.gmt
    gm_assert_equal "$(gm-show d.gmt | wc -l)" 4
    gm_assert_equal "$(gm_tensor d.gmt z | sort -u | wc -l)" $((4 * 32 * 3))
    gm_assert_fails 2 "did you mean uniform?" gm-noise --dim 3 --dist unifrom
}

@test "gm-forward is the network that its parameters say" {
    gm-init -o n.gm -s 7 --init he 3 dense:5:elu dense:4:gelu dense:3:softmax >/dev/null
    gm-noise -n 50 -b 20 --dim 3 -o x | gm-forward -m n.gm -o out >f.gmt
    gm-save --params n.gm >p.gmt
    gm_python - <<'P'
import io, math, msgpack, zstandard, numpy as np
def records(f):
    d = zstandard.ZstdDecompressor().stream_reader(open(f, "rb"), read_across_frames=True)
    for r in msgpack.Unpacker(d, max_buffer_size=1 << 30):
        if "end" not in r:
            yield {n: np.frombuffer(t["data"], t["type"]).reshape(t["shape"]).astype(float) for n, t in r["tensors"].items()}
(p,) = records("p.gmt")
rows = 0
for r in records("f.gmt"):
    h = r["x"] @ p["0.W"] + p["0.b"]
    h = np.where(h > 0, h, np.exp(np.minimum(h, 0)) - 1)
    h = h @ p["1.W"] + p["1.b"]
    h = h * 0.5 * (1 + np.vectorize(math.erf)(h / math.sqrt(2)))
    h = np.exp(h @ p["2.W"] + p["2.b"])
    h /= h.sum(1, keepdims=True)
    assert np.abs(h - r["out"]).max() < 1e-5, np.abs(h - r["out"]).max()
    rows += len(h)
assert rows == 50
P
}

@test "all that a tool does not know passes through; --drop removes" {
    gm-init -o n.gm 3 dense:2 >/dev/null
    gm-noise -n 8 --dim 3 -o x | gm-noise --dim 2 -o other >a.gmt
    gm-forward -m n.gm -o out <a.gmt >b.gmt
    cmp <(gm_tensor a.gmt other) <(gm_tensor b.gmt other)
    [[ $(gm-show b.gmt) == *" x "*" other "*" out "* ]]
    gm-forward -m n.gm -o out --drop x,other <a.gmt | gm-show >c.txt
    run -1 grep -qE ' (x|other) ' c.txt
    grep -q ' out ' c.txt
}

@test "GM_LEVEL: every level is read, zstd reads what we write, and a bad one is refused" {
    gm-noise -n 300 --dim 30 >plain.gmt
    for level in store -7 1 3 19; do
        GM_LEVEL=$level gm-noise -n 300 --dim 30 >l.gmt
        cmp <(gm_tensor l.gmt z) <(gm_tensor plain.gmt z)
        zstd -dc <l.gmt | cmp - <(zstd -dc <plain.gmt)
        zstd -dc <l.gmt | gm-show | cmp - <(gm-show plain.gmt)
    done
    GM_LEVEL=best gm_assert_fails 2 "GM_LEVEL" gm-noise -n 3 --dim 3
}

@test "cat of two streams is a stream" {
    gm-noise -n 10 --dim 3 >a.gmt
    gm-noise -n 10 --dim 3 -s 1 >b.gmt
    cat a.gmt b.gmt | gm-show >both.txt
    gm_assert_equal "$(wc -l <both.txt)" 2
}

@test "gm-show: a model's table, a step, JSON; a stream's lines, stats, CSV, picture" {
    gm-init -o D.gm -s 2 --data digits.csv --label digit --scale range:-1,1 features dense:256:leaky dropout:0.5 dense:1:sigmoid >/dev/null
    gm-show D.gm >table.txt
    grep -q "^D.gm  model D of digits.csv, step 0, adam:lr=0.001,.*seed 2$" table.txt
    grep -qE "0 dense leaky +256 +16640" table.txt
    grep -qE "1 dropout 0.5 +256 +0" table.txt
    grep -qE "total +16897" table.txt
    gm_assert_equal "$(gm-show --step D.gm)" 0
    gm-show --json D.gm | gm_python -c 'import json, sys; m = json.load(sys.stdin); assert m["parameters"] == 16897 and m["name"] == "D"'
    gm-batch -m D.gm -b 100 digits.csv >x.gmt
    gm-show --json x.gmt | gm_python -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert len(rows) == 18 and rows[-1]["rows"] == 97 and rows[0]["tensors"]["x"]["shape"] == [100, 64]'
    gm_assert_equal "$(gm-show --csv y x.gmt | wc -l)" 1798
    gm-show --stats x.gmt | grep -q 'x .* min -1 .* max 1 '
    gm-show --png x.png --shape 8x8 x.gmt
    gm_assert_equal "$(head -c 4 x.png | tail -c 3)" PNG
    gm_assert_fails 2 "is not HEIGHTxWIDTH" gm-show --png x.png --shape 8by8 x.gmt
    gm_assert_fails 1 "64 columns, --shape 4x4 has 16" gm-show --png y.png --shape 4x4 x.gmt
    [ ! -e y.png ]
}

@test "gm-log goes on with a log that is there, and refuses a file that is none" {
    gm-init -o w.gm --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    train() { gm-batch -b 32 --train w.gm -n "$1" wine.csv | gm-grad -m w.gm --loss 'ce(x,y)' | gm-step -m w.gm | gm-log -o run.csv; }
    train 5 2>err.txt
    grep -q "step 5  loss/w" err.txt
    printf '5,0.9\n6,0.' >>run.csv # what a killed run may leave
    train 8
    gm_assert_equal "$(cut -d, -f1 run.csv | tr '\n' ' ')" "step 0 1 2 3 4 5 6 7 "
    cp wine.csv not-a-log.csv
    run -1 bash -c "gm-batch -b 32 --train w.gm -n 9 wine.csv | gm-grad -m w.gm --loss 'ce(x,y)' | gm-log -o not-a-log.csv 2>&1 >/dev/null"
    [[ $output == *"not-a-log.csv: exists and is no log of gm-log"* ]]
    cmp not-a-log.csv wine.csv
}

@test "gm-log gives a scalar that comes later a column of its own" {
    gm-init -o w.gm --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    gm-batch -b 32 --train w.gm -n 9 wine.csv | gm-grad -m w.gm --no-param-grad --every 4 --loss 'l2()' --frozen >/dev/null
    gm-init -o v.gm --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    gm-batch -b 32 --train w.gm,v.gm -n 9 wine.csv | gm-grad -m w.gm --loss 'ce(x,y)' | gm-step -m w.gm |
        gm-grad -m v.gm --every 4 --loss 'ce(x,y)' | gm-step -m v.gm --every 4 | gm-log -q -o run.csv
    gm_assert_equal "$(head -1 run.csv)" "step,loss/w,loss/v"
    gm_assert_equal "$(awk -F, '$3 != "" { printf "%s ", $1 }' run.csv)" "step 3 7 "
    awk -F, 'NF != 3 { exit 1 }' run.csv
    gm_assert_equal "$(wc -l <run.csv)" 10
}

@test "gm-save --params leaves the state out, and restores" {
    gm-init -o w.gm --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    gm-batch -b 32 --train w.gm -n 9 wine.csv | gm-grad -m w.gm --loss 'ce(x,y)' | gm-step -m w.gm | gm-log -q
    gm-save w.gm | gm-show >full.txt
    gm-save --params w.gm | gm-show >params.txt
    grep -q ' 0.W/m ' full.txt
    run -1 grep -q ' 0.W/m ' params.txt
    gm-save -o w.gmt --params w.gm
    gm-init -o v.gm --from w.gmt >/dev/null
    gm_assert_equal "$(gm-classify -m v.gm --eval wine.csv)" "$(gm-classify -m w.gm --eval wine.csv)"
}

@test "a filter in Python clips gradients inside a training pipeline" {
    gm-init -o w.gm --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    cp w.gm v.gm
    clip=$BATS_TEST_DIRNAME/../examples/clip.py
    [ "$(wc -l <"$clip")" -le 20 ]
    gm-batch -b 32 --train w.gm -n 30 wine.csv | gm-grad -m w.gm --loss 'ce(x,y)' | "$clip" 0.1 | tee seen.gmt | gm-step -m w.gm | gm-log -q
    gm_assert_equal "$(gm-show --step w.gm)" 30
    gm-show --stats seen.gmt | awk '$1 ~ /^grad/ { for (i = 1; i < NF; i++) if ($i == "norm") { q += $(i + 1) ^ 2; n++ } }
        $1 == "record" { if (q > 0.0101) bad = 1; q = 0 } END { exit bad || n != 60 }'
    # which is what gm-step --clip-norm does
    gm-batch -b 32 --train v.gm -n 30 wine.csv | gm-grad -m v.gm --loss 'ce(x,y)' | gm-step -m v.gm --clip-norm 0.1 | gm-log -q
    gm-save --params w.gm >w.gmt
    gm-save --params v.gm >v.gmt
    gm_python - <<'P'
import msgpack, zstandard, numpy as np
def params(f):
    r = next(iter(msgpack.Unpacker(zstandard.ZstdDecompressor().stream_reader(open(f, "rb"), read_across_frames=True))))
    return {n: np.frombuffer(t["data"], "<f4") for n, t in r["tensors"].items()}
w, v = params("w.gmt"), params("v.gmt")
assert all(np.allclose(w[n], v[n], atol=1e-4) for n in w)
P
}

# 200 GAN steps in parts of N steps: records, and both models saved at the ends
record_gan() { # N ACTIVATION
    local adam=adam:lr=2e-4,beta1=0.5 data="--data digits.csv --label digit --scale range:-1,1"
    # shellcheck disable=SC2086
    gm-init -o G.gm -s 1 $data --optimizer $adam 20 dense:128:"$2" dense:256:"$2" dense:features:tanh >/dev/null
    # shellcheck disable=SC2086
    gm-init -o D.gm -s 2 $data --optimizer $adam features dense:256:"$2" dense:128:"$2" dense:1:sigmoid >/dev/null
    gm-save -o G.0 G.gm
    gm-save -o D.0 D.gm
    for step in $(seq "$1" "$1" 200); do
        gm-batch -b 128 --train G.gm,D.gm -n "$step" digits.csv | gm-noise --dim 20 | tee -a records | gm-forward -m G.gm -i z -o fake |
            gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)' | gm-step -m D.gm |
            gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
            gm-grad -m G.gm -i z --upstream fake | gm-step -m G.gm | gm-log -q
        gm-save -o "G.$step" G.gm
        gm-save -o "D.$step" D.gm
    done
}

@test "200 recorded GAN steps, replayed in NumPy in double precision, reach the same parameters" {
    record_gan 200 tanh
    gm_python "$BATS_TEST_DIRNAME"/replay.py . | tee figures
    grep -q '^steps 200 comparisons 1 ' figures
}

@test "the same with leaky relu, whose kinks make long replays diverge in NumPy too: 40 parts of 5 steps" {
    record_gan 5 leaky
    gm_python "$BATS_TEST_DIRNAME"/replay.py . | tee figures
    grep -q '^steps 200 comparisons 40 ' figures
}

@test "gm-init and data: words, parts, joined labels; gm-sample draws the class that it is told" {
    gm-init -o C.gm -s 1 --data digits.csv --label digit --scale range:-1,1 20+classes dense:32:relu dense:features:tanh >/dev/null
    gm-sample -m C.gm -n 40 --label 7 --csv >seven.csv
    gm_assert_equal "$(tail -n +2 seven.csv | cut -d, -f65 | sort -u)" 7
    gm-sample -m C.gm -n 500 --csv >any.csv
    gm_assert_equal "$(tail -n +2 any.csv | cut -d, -f65 | sort -un | wc -l)" 10
    gm-batch -m C.gm -b 10 digits.csv | gm-noise --dim 20 | gm-forward -m C.gm -i z,y -o fake | gm-show | head -1 | grep -q 'fake <f4 10×64'
    gm_assert_fails 2 "'11' is no class" gm-sample -m C.gm -n 4 --label 11
    gm-init -o G.gm 20 dense:64:tanh >/dev/null
    gm_assert_fails 2 "was not made with \`classes\`" gm-sample -m G.gm -n 4 --label 1
    gm_assert_fails 1 "--csv" gm-sample -m G.gm -n 4 --csv
    gm_assert_fails 2 "--shape HxW is needed" gm-sample -m G.gm -n 4 --png x.png
}

@test "make install: tools, pages, and a library that another program can use" {
    [ -z "${GM_SANITIZED:-}" ] || skip "needs a build without sanitizers"
    root=$BATS_TEST_DIRNAME/..
    make -s -C "$root" BUILD="$GM_BUILD" GM_NO_INSTALL=1 DESTDIR="$PWD/root" PREFIX=/usr install >/dev/null
    [ -x root/usr/bin/gm-grad ]
    [ -f root/usr/share/man/man7/gm.7 ]
    cat >user.c <<'C'
#include <gm/blas.h>
#include <gm/rng.h>
#include <stdio.h>
int main(void) {
    float a[4] = {1, 2, 3, 4}, b[4] = {0, 1, 1, 0}, c[4], z[2];
    gm_matmul(2, 2, 2, a, 2, b, 2, 0, c, 2);
    gm_rng_normal((gm_rng){.seed = 1, .purpose = GM_PURPOSE_NOISE}, 0, 2, z);
    printf("%g %g %g %g %d\n", c[0], c[1], c[2], c[3], z[0] != z[1]);
}
C
    libs=$(sed -n "s|^Libs: ||p" root/usr/lib/pkgconfig/gm.pc | sed "s|\${prefix}|$PWD/root/usr|g")
    # shellcheck disable=SC2086
    gcc -Iroot/usr/include -o user user.c $libs
    gm_assert_equal "$(./user)" "2 1 4 3 1"
}
