# Training: lockstep, exactly once, equal bits, readers beside a writer, numbers that stop a run.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

init_pair() { # SUFFIX
    gm-init -o "G$1.gm" --name G -s 1 --data digits.csv --label digit --scale range:-1,1 --optimizer adam:lr=2e-4,beta1=0.5 \
        20 dense:64:leaky dense:96:leaky dense:features:tanh >/dev/null
    gm-init -o "D$1.gm" --name D -s 2 --data digits.csv --label digit --scale range:-1,1 --optimizer adam:lr=2e-4,beta1=0.5 \
        features dense:96:leaky dropout:0.2 dense:64:leaky dense:1:sigmoid >/dev/null
}

gan_line() { # SUFFIX STEPS
    echo "gm-batch -b 100 --train G$1.gm,D$1.gm -n $2 -s 3 digits.csv | gm-noise --dim 20 | gm-forward -m G$1.gm -i z -o fake |
        gm-grad -m D$1.gm --loss 'bce(x,1) + bce(fake,0)' | gm-step -m D$1.gm |
        gm-grad -m D$1.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
        gm-grad -m G$1.gm -i z --upstream fake | gm-step -m G$1.gm | gm-log -q -o run$1.csv"
}

pipes() { bash -euo pipefail -c "$(gan_line "$1" "$2")"; }
fused() { gm-pipe -j "$3" "$(gan_line "$1" "$2")"; }

@test "pipes and gm-pipe, one and two threads, killed and resumed: equal bits after 500 GAN steps" {
    for way in a b c d e f; do init_pair $way; done
    pipes a 500
    GM_THREADS=2 pipes f 500
    fused b 500 1
    fused c 500 2
    gm_run_killed Gd.gm 500 bash -euo pipefail -c "$(gan_line d 500)"
    gm_run_killed Ge.gm 500 gm-pipe -j 2 "$(gan_line e 500)"
    for way in a b c d e f; do gm_assert_equal "$(gm-show --step G$way.gm) $(gm-show --step D$way.gm)" "500 500"; done
    for way in b c d e f; do
        gm_same_model Ga.gm G$way.gm
        gm_same_model Da.gm D$way.gm
    done
    # and the bits did move
    init_pair z
    run -1 gm_same_model Gz.gm Ga.gm
    cmp runa.csv runb.csv
    cmp runa.csv runc.csv
}

@test "a finished run, run again, has nothing to do" {
    init_pair a
    pipes a 20
    cp Ga.gm before.gm
    pipes a 20
    gm_same_model Ga.gm before.gm
    pipes a 25
    gm_assert_equal "$(gm-show --step Ga.gm)" 25
    gm_assert_equal "$(wc -l <runa.csv)" 26
}

@test "a run that was killed between two gm-steps goes on exactly once" {
    init_pair a
    init_pair b
    pipes a 10
    pipes b 9
    # D takes step 9, then the run dies before G does
    gm-batch -b 100 --train Gb.gm,Db.gm -n 10 -s 3 digits.csv | gm-noise --dim 20 | gm-forward -m Gb.gm -i z -o fake |
        gm-grad -m Db.gm --loss 'bce(x,1) + bce(fake,0)' | gm-step -m Db.gm >/dev/null
    gm_assert_equal "$(gm-show --step Gb.gm) $(gm-show --step Db.gm)" "9 10"
    pipes b 10
    gm_same_model Ga.gm Gb.gm
    gm_same_model Da.gm Db.gm
}

@test "an autoencoder of two models, killed between their steps, gets the gradient of the step that was" {
    local ends=(a b)
    for way in "${ends[@]}"; do
        gm-init -o E$way.gm --name E -s 1 --data digits.csv --label digit --scale range:-1,1 features dense:16:tanh >/dev/null
        gm-init -o C$way.gm --name C -s 2 --data digits.csv --label digit --scale range:-1,1 16 dense:features:tanh >/dev/null
    done
    line() {
        echo "gm-batch -b 50 --train E$1.gm,C$1.gm -n $2 digits.csv | gm-forward -m E$1.gm -o code |
            gm-grad -m C$1.gm --loss 'mse(code,x)' --input-grad code | gm-step -m C$1.gm"
    }
    rest() { echo "| gm-grad -m E$1.gm -i x --upstream code | gm-step -m E$1.gm | gm-log -q -o ae$1.csv"; }
    bash -euo pipefail -c "$(line a 30) $(rest a)"
    bash -euo pipefail -c "$(line b 20) $(rest b)"
    bash -euo pipefail -c "$(line b 21) >/dev/null"
    gm_assert_equal "$(gm-show --step Eb.gm) $(gm-show --step Cb.gm)" "20 21"
    bash -euo pipefail -c "$(line b 30) $(rest b)"
    gm_same_model Ea.gm Eb.gm
    gm_same_model Ca.gm Cb.gm
    # the loss of the pair is logged for both, and falls
    gm_assert_equal "$(head -1 aea.csv)" "step,loss/C,loss/E"
    awk -F, 'NR == 2 { first = $2 } { last = $2 } END { exit !(last < first) }' aea.csv
}

@test "three models in a row: each is read at exactly the record's step, also when the run died between their steps" {
    for way in a b; do
        gm-init -o P$way.gm --name P -s 1 --data digits.csv --label digit --scale range:-1,1 features dense:24:tanh >/dev/null
        gm-init -o Q$way.gm --name Q -s 2 24 dense:16:tanh >/dev/null
        gm-init -o R$way.gm --name R -s 3 --data digits.csv --label digit --scale range:-1,1 16 dense:features:tanh >/dev/null
    done
    head_of() {
        echo "gm-batch -b 50 --train P$1.gm,Q$1.gm,R$1.gm -n $2 digits.csv | gm-forward -m P$1.gm -o p | gm-forward -m Q$1.gm -i p -o q |
            gm-grad -m R$1.gm --loss 'mse(q,x)' --input-grad q | gm-step -m R$1.gm"
    }
    middle() { echo "| gm-grad -m Q$1.gm -i p --upstream q --input-grad p | gm-step -m Q$1.gm"; }
    tail_of() { echo "| gm-grad -m P$1.gm -i x --upstream p | gm-step -m P$1.gm | gm-log -q"; }
    bash -euo pipefail -c "$(head_of a 30) $(middle a) $(tail_of a)"
    bash -euo pipefail -c "$(head_of b 10) $(middle b) $(tail_of b)"
    bash -euo pipefail -c "$(head_of b 11) $(middle b) >/dev/null" # Q and R take step 10, P does not
    gm_assert_equal "$(gm-show --step Pb.gm) $(gm-show --step Qb.gm) $(gm-show --step Rb.gm)" "10 11 11"
    bash -euo pipefail -c "$(head_of b 20) $(middle b) $(tail_of b)"
    bash -euo pipefail -c "$(head_of b 21) >/dev/null" # R alone
    gm-pipe "$(head_of b 30) $(middle b) $(tail_of b)"
    for name in P Q R; do gm_same_model $name''a.gm $name''b.gm; done
}

@test "a model that another run trained is read with --frozen, and a reader that would guess says so" {
    gm-init -o E.gm -s 1 13 dense:4:tanh >/dev/null
    gm-init -o w.gm -s 2 --data wine.csv --label cultivar 4 dense:classes:softmax >/dev/null
    gm-batch -b 32 --train E.gm -n 7 --scale standard --label cultivar wine.csv | gm-grad -m E.gm --loss 'mse(x,0)' | gm-step -m E.gm | gm-log -q
    run -1 bash -c "gm-batch -b 32 --train w.gm -n 5 wine.csv | gm-forward -m E.gm -o code 2>&1 >/dev/null"
    [[ $output == *"record 0: E.gm is at step 7 and no longer knows step 0: "*"--frozen"* ]]
    gm-batch -b 32 --train w.gm -n 5 wine.csv | gm-forward -m E.gm --frozen -o code | gm-grad -m w.gm --loss 'ce(code,y)' | gm-step -m w.gm | gm-log -q
    gm_assert_equal "$(gm-show --step w.gm) $(gm-show --step E.gm)" "5 7"
}

@test "gm-sample and gm-show read a model while it trains, without disturbing it or being disturbed" {
    init_pair a
    init_pair b
    pipes a 300
    pipes b 300 &
    pid=$!
    reads=0
    while kill -0 $pid 2>/dev/null; do
        gm-sample -m Gb.gm -n 300 >samples.gmt
        gm-show samples.gmt >lines.txt
        gm_assert_equal "$(wc -l <lines.txt)" 2
        gm-show --step Gb.gm >step.txt
        gm-show Gb.gm >/dev/null
        gm-save Gb.gm | gm-show --stats >stats.txt
        run -1 grep -q 'not finite' stats.txt
        reads=$((reads + 1))
    done
    wait $pid
    [ "$reads" -ge 2 ]
    gm_same_model Ga.gm Gb.gm
    gm_same_model Da.gm Db.gm
}

@test "a stage that is missing is named, in a few seconds" {
    init_pair a
    export GM_WAIT_SECONDS=1
    run -1 bash -c "gm-batch --train Ga.gm,Da.gm -n 5 digits.csv | gm-noise --dim 20 | gm-forward -m Ga.gm -i z -o fake 2>&1 >/dev/null"
    [[ $output == *"gm-forward: record 1: Ga.gm: "*"gm-step -m Ga.gm"* ]]
}

@test "a second gm-step on the same model is refused" {
    init_pair a
    mkfifo hold
    gm-step -m Da.gm <hold >/dev/null 2>&1 &
    pid=$!
    exec 9>hold
    gm_until_trained Da.gm $pid
    gm_assert_fails 1 "Da.gm: held by another process (pid $pid)" gm-step -m Da.gm
    exec 9>&-
    wait $pid || true
    run -1 grep "trains it now" <(gm-show Da.gm)
}

@test "a gap, a stale gradient, a missing gradient, a record without a step" {
    init_pair a
    gm-batch -b 50 --train Da.gm -n 1 digits.csv >first.gmt
    run -1 bash -c "gm-step -m Da.gm <first.gmt 2>&1 >/dev/null"
    gm_assert_equal "$output" "gm-step: record 0: no tensor 'grad/D/0.W' (is \`gm-grad -m Da.gm\` before this gm-step?)"
    gm-batch -b 50 digits.csv >plain.gmt
    run -1 bash -c "gm-step -m Da.gm <plain.gmt 2>&1 >/dev/null"
    [[ $output == *"record 0: the record has no step"* ]]
    gm-grad -m Da.gm --loss 'bce(x,1)' <first.gmt >grads.gmt
    edit() { gm_python -c '
import sys, msgpack, zstandard
d = zstandard.ZstdDecompressor().stream_reader(sys.stdin.buffer, read_across_frames=True)
for r in msgpack.Unpacker(d, max_buffer_size=1 << 30):
    if "end" not in r: exec(sys.argv[1])
    sys.stdout.buffer.write(msgpack.packb(r))' "$1" <grads.gmt; }
    edit 'r["step"] = 3' >gap.gmt
    run -1 bash -c "gm-step -m Da.gm <gap.gmt 2>&1 >/dev/null"
    [[ $output == *"the record is of step 3, Da.gm is at step 0"* ]]
    edit 'r["info"]["grads"]["D"] = 7' >stale.gmt
    run -1 bash -c "gm-step -m Da.gm <stale.gmt 2>&1 >/dev/null"
    [[ $output == *"stale"* ]]
    edit 'r["tensors"]["grad/D/0.b"]["data"] = b"\0\0\xc0\x7f" + r["tensors"]["grad/D/0.b"]["data"][4:]' >nan.gmt
    run -1 bash -c "gm-step -m Da.gm <nan.gmt 2>&1 >/dev/null"
    [[ $output == *"step 0: Da.gm: tensor 'grad/D/0.b' is not finite at index 0"* ]]
    edit 'r["tensors"]["grad/D/0.W"]["shape"].reverse()' >shape.gmt
    run -1 bash -c "gm-step -m Da.gm <shape.gmt 2>&1 >/dev/null"
    [[ $output == *"tensor 'grad/D/0.W': expected <f4 64×96, got <f4 96×64"* ]]
    gm_assert_equal "$(gm-show --step Da.gm)" 0
    gm-step -m Da.gm <grads.gmt >/dev/null
    gm_assert_equal "$(gm-show --step Da.gm)" 1
}

@test "numbers that run away stop the run at the last good step, and are named" {
    gm-init -o w.gm --data wine.csv --label cultivar --scale none --optimizer sgd:lr=1e30 features dense:8:relu dense:1 >/dev/null
    run bash -o pipefail -c "gm-batch -b 32 --train w.gm -n 50 wine.csv | gm-grad -m w.gm --loss 'mse(x,0)' | gm-step -m w.gm | gm-log -q"
    [ "$status" -ne 0 ]
    [[ $output == *"step "*"w.gm"* ]]
    [ "$(gm-show --step w.gm)" -lt 50 ]
    gm-save w.gm | gm-show --stats >stats.txt
    run -1 grep -q 'not finite' stats.txt
}

@test "--every trains on each N-th step and still counts the others" {
    init_pair a
    gm-batch -b 50 --train Da.gm -n 7 digits.csv | gm-grad -m Da.gm --every 3 --loss 'bce(x,1)' | gm-step -m Da.gm --every 3 | gm-log -q
    gm_assert_equal "$(gm-show --step Da.gm)" 7
    gm_assert_equal "$(gm-save Da.gm | gm-show --json | grep -o '"updates":[0-9]*')" '"updates":2'
}

@test "--accumulate N averages N gradients into one update, also when killed between" {
    for way in a b c; do
        gm-init -o $way.gm --name w -s 1 --data wine.csv --label cultivar --optimizer sgd:lr=0.1,accumulate=4 features dense:classes:softmax >/dev/null
    done
    line() { echo "gm-batch -b 16 --train $1.gm -n $2 -s 5 wine.csv | gm-grad -m $1.gm --loss 'ce(x,y)' | gm-step -m $1.gm | gm-log -q"; }
    bash -euo pipefail -c "$(line a 8)"
    bash -euo pipefail -c "$(line b 3)"
    bash -euo pipefail -c "$(line b 6)"
    bash -euo pipefail -c "$(line b 8)"
    gm_same_model a.gm b.gm
    gm_assert_equal "$(gm-save a.gm | gm-show --json | grep -o '"updates":[0-9]*')" '"updates":2'
    # four batches of 16 of one epoch are one batch of 64, up to rounding
    gm-batch -b 16 --train c.gm -n 4 -s 5 wine.csv | gm-grad -m c.gm --loss 'ce(x,y)' | gm-step -m c.gm | gm-log -q
    gm-init -o d.gm --name w -s 1 --data wine.csv --label cultivar --optimizer sgd:lr=0.1 features dense:classes:softmax >/dev/null
    gm-batch -b 64 --train d.gm -n 1 -s 5 wine.csv | gm-grad -m d.gm --loss 'ce(x,y)' | gm-step -m d.gm | gm-log -q
    gm-save --params c.gm >c.gmt
    gm-save --params d.gm >d.gmt
    gm_python - <<'P'
import msgpack, zstandard, numpy as np
def params(f):
    r = next(iter(msgpack.Unpacker(zstandard.ZstdDecompressor().stream_reader(open(f, "rb"), read_across_frames=True))))
    return {n: np.frombuffer(t["data"], "<f4") for n, t in r["tensors"].items()}
c, d = params("c.gmt"), params("d.gmt")
assert set(c) == {"0.W", "0.b"} and all(np.allclose(c[n], d[n], atol=1e-6) for n in c)
P
}

@test "checkpoints restore a run to the bit" {
    init_pair a
    pipes a 20
    gm-batch -b 100 --train Da.gm -n 30 digits.csv | gm-grad -m Da.gm --loss 'bce(x,1)' | gm-step -m Da.gm --checkpoint D.gmt:5 | gm-log -q
    gm-init -o R.gm --from D.gmt >/dev/null
    gm_same_model R.gm Da.gm
    gm_assert_equal "$(gm-show --step R.gm)" 30
    head -c 3000 D.gmt >cut.gmt
    gm_assert_fails 1 "cut.gmt" gm-init -o S.gm --from cut.gmt
    [ ! -e S.gm ]
}

@test "a dead reader does not leave gm-step between two steps" {
    init_pair a
    run bash -c "gm-batch -b 100 --train Da.gm -n 400 digits.csv 2>/dev/null | gm-grad -m Da.gm --loss 'bce(x,1)' 2>/dev/null |
        { gm-step -m Da.gm; echo status \$? >&2; } | head -c 1000 >/dev/null"
    [[ $output == *"status 1"* ]]
    gm-save Da.gm | gm-show >/dev/null
    gm-init -o Db.gm --from <(gm-save Da.gm) >/dev/null
}

@test "memory stays flat over 100,000 records, in every process of a pipeline" {
    [ -z "${GM_SANITIZED:-}" ] || skip "under sanitizers memory is not the tools'"
    gm-init -o G.gm 4 dense:4:leaky dense:2:tanh >/dev/null
    gm-init -o D.gm 2 dense:4:leaky dense:1:sigmoid >/dev/null
    printf 'a,b\n' >ab.csv
    seq 100 | awk '{ print $1 / 100 "," 1 - $1 / 50 }' >>ab.csv
    # of every process when the model is at a step: resident size, the part of it that is no page of a file (those of programs
    # and libraries come and go as the kernel likes), mapped size
    sizes() { # STEP
        while [ "$(gm-show --step G.gm)" -lt "$1" ]; do
            kill -0 "$session" || return 1
            sleep 0.05
        done
        for tool in gm-batch gm-noise gm-forward gm-grad gm-step gm-log; do
            for pid in $(pgrep -s "$session" -x "$tool"); do awk -v n="$tool.$pid" '/^VmRSS/ { r = $2 } /^(RssAnon|RssShmem)/ { a += $2 } /^VmSize/ { m = $2 } END { print n, r, a, m }' "/proc/$pid/status"; done
        done
    }
    setsid bash -euo pipefail -c "gm-batch -b 8 --train G.gm,D.gm -n 120000 ab.csv | gm-noise --dim 4 | gm-forward -m G.gm -i z -o fake |
        gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)' | gm-step -m D.gm |
        gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
        gm-grad -m G.gm -i z --upstream fake | gm-step -m G.gm | gm-log -q -o run.csv" &
    session=$!
    sizes 1000 | sort >early.txt
    sizes 101000 | sort >late.txt
    wait $session
    [ "$(wc -l <early.txt)" -eq 9 ]
    join early.txt late.txt | awk '{ print "# " $0; if ($6 - $3 > 0.05 * $2 || $7 > 1.05 * $4) bad = 1 } END { exit NR != 9 || bad }'
}

@test "a run goes on with the BLAS it was begun with; another one is refused, or allowed" {
    [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo || skip "no two kernels to choose from"
    export OPENBLAS_CORETYPE=Haswell
    gm-init -o D.gm --data digits.csv --label digit features dense:32:relu dense:classes:softmax >/dev/null
    train() { # STEPS OPTION...
        local steps=$1
        shift
        gm-batch -b 64 --train D.gm -n "$steps" digits.csv | gm-grad -m D.gm --loss 'ce(x,y)' | gm-step -m D.gm "$@" | gm-log -q
    }
    train 5
    export OPENBLAS_CORETYPE=Prescott
    run ! train 10
    [[ $output == *"gm-step: record 0: D.gm was trained with OpenBLAS "*" Haswell, and these gradients are of OpenBLAS "*" Prescott, which gives other bits: --allow-drift goes on all the same"* ]]
    gm_assert_equal "$(gm-show --step D.gm)" 5
    OPENBLAS_CORETYPE=Haswell train 8
    gm_assert_equal "$(gm-show --step D.gm)" 8
    train 12 --allow-drift
    gm_assert_equal "$(gm-show --step D.gm)" 12
    gm-show D.gm | grep -q Prescott
    # and is then the one that the run goes on with, also from a checkpoint
    gm-save -o D.gmt D.gm
    gm-init --force -o D.gm --from D.gmt >/dev/null
    OPENBLAS_CORETYPE=Haswell run ! train 15
    [[ $output == *"gm-step: record 0: D.gm was trained with OpenBLAS "*" Prescott, and"* ]]
    train 15
    gm_assert_equal "$(gm-show --step D.gm)" 15
}
