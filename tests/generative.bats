# Generative models: layers that draw and layers with statistics, VAEs of one model and of two, penalties, classes that are known.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

known=(--data digits.csv --label digit --scale range:0,1)

init_vae() { # MODEL
    gm-init -o "$1" --name V -s 1 "${known[@]}" features dense:48:relu dense:16 gaussian:8 dense:48:relu dense:features:sigmoid >/dev/null
}

# A VAE that is told the class, with batchnorm, and a Wasserstein GAN with spectral layers, batchnorm, an average and the penalty's
# second derivatives, one behind the other in one pipeline.
init_all() { # SUFFIX
    gm-init -o "V$1.gm" --name V -s 1 "${known[@]}" features+classes dense:48:relu batchnorm dense:16 gaussian:8+classes \
        dense:48:gelu batchnorm dense:features:sigmoid >/dev/null
    gm-init -o "G$1.gm" --name G -s 2 "${known[@]}" --optimizer adam:lr=2e-4,beta1=0.5,ema=0.99 \
        10 dense:32 batchnorm dense:48:leaky dense:features:sigmoid >/dev/null
    gm-init -o "D$1.gm" --name D -s 3 "${known[@]}" --optimizer adam:lr=2e-4,beta1=0.5,accumulate=2 \
        features dense:48:gelu:spectral dropout:0.2 dense:32:softplus dense:1 >/dev/null
}

line() { # SUFFIX STEPS
    echo "gm-batch -b 100 --train V$1.gm,G$1.gm,D$1.gm -n $2 -s 3 digits.csv |
        gm-grad -m V$1.gm --loss 'bernoulli([x,y],x) + 0.5*kl([x,y])' | gm-step -m V$1.gm |
        gm-noise --dim 10 | gm-forward -m G$1.gm -i z -o fake |
        gm-grad -m D$1.gm --loss 'mean(fake) - mean(x) + 10*gp(x,fake)' | gm-step -m D$1.gm --clip-norm 5 |
        gm-grad -m D$1.gm --loss '-mean(fake)' --input-grad fake --no-param-grad --every 2 |
        gm-grad -m G$1.gm -i z --upstream fake --loss '1e-4*l2()' --every 2 | gm-step -m G$1.gm --every 2 | gm-log -q -o run$1.csv"
}
pipes() { bash -euo pipefail -c "$(line "$1" "$2")"; }

@test "equal bits: pipes, gm-pipe, one and two threads, killed and resumed" {
    local way
    for way in a b c d; do init_all $way; done
    pipes a 600
    gm-pipe "$(line b 600)"
    gm-pipe -j 2 "$(line c 600)"
    gm_run_killed Gd.gm 600 bash -euo pipefail -c "$(line d 600)"
    for way in b c d; do
        for model in V G D; do gm_same_model ${model}a.gm $model$way.gm; done
    done
    cmp runa.csv runb.csv
    cmp runa.csv runc.csv
    # statistics moved, and checkpoints hold them
    gm-save Ga.gm >G.gmt
    gm_tensor G.gmt 1.mean | awk '$1 != 0 { n++ } END { exit n < 32 }'
    gm-init -o R.gm --from G.gmt
    gm_same_model Ga.gm R.gm
}

@test "packs: what a discriminator of pac:2:4 computes is what one of 8 columns does on rows twice as long, to the bit" {
    local loss
    for name in P U; do
        input=8
        if [ $name = P ]; then input=pac:2:4; fi
        gm-init -o $name.gm --name D -s 3 $input dense:12:leaky dense:7:gelu dense:1 >/dev/null
        gm-save -o $name.gmt $name.gm
    done
    gm_assert_equal "$(gm-show --json P.gmt | grep -o '"input":"[^"]*"')" '"input":"pac:2:4"'
    gm_assert_equal "$(gm_tensor P.gmt 0.W | cksum)" "$(gm_tensor U.gmt 0.W | cksum)"
    # number i of the noise is the same however it is cut into rows
    gm-noise -n 400 -b 400 --dim 4 -o x | gm-noise --dim 4 -o fake >P.in
    gm-noise -n 200 -b 200 --dim 8 -o x | gm-noise --dim 8 -o fake >U.in
    gm_assert_equal "$(gm_tensor P.in fake | cksum)" "$(gm_tensor U.in fake | cksum)"
    for loss in 'bce(x,0.9) + bce(fake,0)' 'mean(fake) - mean(x) + 10*gp(x,fake) + 1e-3*l2()'; do
        for name in P U; do
            gm-grad -m $name.gm --loss "$loss" <$name.in | gm-grad -m $name.gm --loss '-mean(fake)' --input-grad fake --no-param-grad >$name.out
            for tensor in 0.W 0.b 1.W 2.W 2.b; do gm_tensor $name.out grad/D/$tensor; done >$name.numbers
            gm_tensor $name.out d/fake >>$name.numbers
            gm_scalar $name.out loss/D >>$name.numbers
        done
        [ "$(wc -l <P.numbers)" -eq $((8 * 12 + 12 + 12 * 7 + 7 + 1 + 1600 + 1)) ]
        cmp P.numbers U.numbers
    done
    # one of 1 row is none
    gm-init -o one.gm --name D -s 3 pac:1:8 dense:12:leaky dense:7:gelu dense:1 >/dev/null
    gm-save --no-provenance one.gm | cmp - <(gm-save --no-provenance U.gm)
}

@test "packs: told classes, joined and penalized; equal bits by pipes, gm-pipe, two threads, interrupted and resumed; checkpoints" {
    packed() { # SUFFIX STEPS
        echo "gm-batch -b 96 --train G$1.gm,D$1.gm -n $2 -s 3 digits.csv | gm-noise --dim 10 | gm-forward -m G$1.gm -i z,y -o fake |
            gm-grad -m D$1.gm --loss 'mean([fake,y]) - mean([x,y]) + 10*gp([x,y],[fake,y])' | gm-step -m D$1.gm --checkpoint D$1.gmt:20 |
            gm-grad -m D$1.gm --loss '-mean([fake,y])' --input-grad fake --no-param-grad |
            gm-grad -m G$1.gm -i z,y --upstream fake | gm-step -m G$1.gm | gm-log -q -o run$1.csv"
    }
    for way in a b c d; do
        gm-init -o G$way.gm --name G -s 1 "${known[@]}" 10+classes dense:32:leaky dense:features:sigmoid >/dev/null
        gm-init -o D$way.gm --name D -s 2 "${known[@]}" pac:4:features+classes dense:48:leaky dropout:0.2 dense:1 >/dev/null
    done
    bash -euo pipefail -c "$(packed a 60)"
    gm-pipe "$(packed b 60)"
    gm-pipe -j 2 "$(packed c 60)"
    gm-pipe -j 2 "$(packed d 25)"
    bash -euo pipefail -c "$(packed d 60)"
    for way in b c d; do
        for model in G D; do gm_same_model ${model}a.gm $model$way.gm; done
    done
    gm-init -o R.gm --from Da.gmt >/dev/null
    gm_same_model Da.gm R.gm
    gm-show R.gm | grep -q '^  input, packs of 4 rows *296$'
    # layers from the first on keep their packs
    gm-init -o cut.gm --from Da.gmt --layers 0-0 >/dev/null
    gm-show cut.gm | grep -q '^  input, packs of 4 rows *296$'
}

@test "packs: what does not fit is refused in one clear line" {
    gm-init -o D.gm "${known[@]}" pac:8:features dense:16:leaky dense:1:sigmoid >/dev/null
    gm-batch -b 100 -m D.gm digits.csv >x.gmt
    gm_assert_fails 1 "record 0: a batch of 100 rows is no multiple of the pack of 8" bash -c "gm-grad -m D.gm --loss 'bce(x,1)' <x.gmt"
    gm_assert_fails 2 "loss: column 1: 'y' has a target for each row, but the model judges packs of 8 rows: bce takes a number here" \
        gm-grad -m D.gm --loss 'bce(x,y)'
    gm_assert_fails 1 "--upstream: D.gm judges packs of 8 rows: it has no output for each row" gm-grad -m D.gm -i x --upstream out
    for tool in "gm-forward -m D.gm" "gm-classify -m D.gm digits.csv" "gm-classify -m D.gm -o class" "gm-sample -m D.gm -n 8" \
        "gm-compare --features D.gm digits.csv digits.csv"; do
        # shellcheck disable=SC2086
        gm_assert_fails 1 "D.gm judges packs of 8 rows: it has no output for each row" $tool
    done
    gm_assert_fails 2 "input 'pack:8:features': a pack has a number of rows and the columns of each, as in pac:8:features" \
        gm-init -o E.gm "${known[@]}" pack:8:features dense:1
    gm_assert_fails 2 "layer 'gaussian:4': a network that judges packs of rows has no latent variables" \
        gm-init -o E.gm pac:2:8 dense:8 gaussian:4
    # what stands behind the first layer reads no packs any more
    gm-save -o D.gmt D.gm
    gm-init -o end.gm --from D.gmt --layers 1-1 >/dev/null
    gm-noise -n 3 -b 3 --dim 16 -o x | gm-forward -m end.gm | gm-show | grep -q out
}

@test "a VAE of two models, the gradient crossing the pipe, takes the very steps of one model" {
    init_vae V.gm
    gm-save V.gm >V.gmt
    gm-init -o E.gm --name E --from V.gmt --layers 0-2
    gm-init -o P.gm --name P --from V.gmt --layers 3-4
    # the same random numbers for the latent variables: they are of the seed, which both keep
    gm-batch -b 100 --train V.gm -n 100 digits.csv | gm-grad -m V.gm --loss 'bernoulli(x,x) + kl(x)' | gm-step -m V.gm | gm-log -q -o one.csv
    gm-batch -b 100 --train E.gm,P.gm -n 100 digits.csv | gm-forward -m E.gm -i x -o z |
        gm-grad -m P.gm --loss 'bernoulli(z,x)' --input-grad z | gm-step -m P.gm |
        gm-grad -m E.gm -i x --upstream z --loss 'kl(x)' | gm-step -m E.gm | gm-log -q -o two.csv
    gm-save V.gm >V.gmt
    gm-save E.gm >E.gmt
    gm-save P.gm >P.gmt
    for pair in 0.W:E:0.W 1.b:E:1.b 0.W/m:E:0.W/m 3.W:P:0.W 4.W:P:1.W 4.b/v:P:1.b/v; do
        IFS=: read -r mine model theirs <<<"$pair"
        gm_assert_equal "$(gm_tensor V.gmt "$mine" | cksum)" "$(gm_tensor $model.gmt "$theirs" | cksum)"
    done
    # the encoder's loss is that of both together
    tail -n 1 one.csv | cut -d, -f2 >one
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss/E") at = i } END { print $at }' two.csv >two
    gm_assert_close one two 1e-5
}

@test "layers that are run one stretch after the other are the whole network" {
    init_vae V.gm
    gm-batch -b 20 -m V.gm digits.csv | gm-forward -m V.gm -o whole | gm-forward -m V.gm --layers 0-2 -o z |
        gm-forward -m V.gm --layers 3-4 -i z -o parts >s.gmt
    gm_tensor s.gmt whole | cksum >whole
    gm_tensor s.gmt parts | cksum | cmp - whole
    gm_assert_equal "$(gm-show s.gmt | head -n 1 | grep -c 'z <f4 20×8')" 1
    gm_assert_fails 2 "--layers: '3-5' is no FIRST-LAST within 0-4, the model's layers" gm-forward -m V.gm --layers 3-5
    gm_assert_fails 2 "--layers: '4-3' is no FIRST-LAST" gm-forward -m V.gm --layers 4-3
    gm_assert_fails 2 "--layers goes with --from" gm-init -o X.gm --layers 0-1 4 dense:2
    gm-save V.gm >V.gmt
    gm_assert_fails 2 "the last layer must be dense, gaussian or mixed" gm-init -o X.gm --from <(gm-init -o B.gm 4 dense:2 batchnorm dense:2 >&2; gm-save B.gm) --layers 0-1
}

@test "records with a step draw, others do not; the held-out bound is an average over draws" {
    init_vae V.gm
    gm-batch -b 50 -m V.gm digits.csv | gm-forward -m V.gm --layers 0-2 -o a | gm-forward -m V.gm --layers 0-1 -o both >s.gmt
    gm_tensor s.gmt a | head -n 8 >drawn
    gm-show --csv both s.gmt | awk -F, 'NR == 2 { for (i = 1; i <= 8; i++) print $i }' | cmp - drawn
    gm-batch -b 50 --train V.gm -n 1 digits.csv | gm-forward -m V.gm --layers 0-2 -o a | gm-forward -m V.gm --layers 0-1 -o both >s.gmt
    gm_tensor s.gmt a | head -n 8 >drawn
    run ! cmp -s <(gm-show --csv both s.gmt | awk -F, 'NR == 2 { for (i = 1; i <= 8; i++) print $i }') drawn
    gm-batch -b 600 -m V.gm digits.csv | gm-grad -m V.gm --loss 'bernoulli(x,x) + kl(x)' --no-param-grad >a.gmt
    gm-batch -b 600 -m V.gm digits.csv | gm-grad -m V.gm --loss 'bernoulli(x,x) + kl(x)' --no-param-grad >b.gmt
    cmp a.gmt b.gmt
    gm_assert_equal "$(gm_scalar a.gmt loss/V | awk '$1 > 20 && $1 < 80' | wc -l)" 3
}

@test "a decoder that gives means and log variances draws from them; on the way between two points it gives the means" {
    gm-init -o V.gm -s 1 --data iris.csv --label species --optimizer adam:lr=3e-3 features dense:16:relu dense:4 gaussian:2 dense:16:relu dense:8 >/dev/null
    gm-batch -b 50 --train V.gm -n 600 iris.csv | gm-grad -m V.gm --loss 'gaussian(x,x) + kl(x)' | gm-step -m V.gm | gm-log -q
    gm-sample -m V.gm -n 4000 | gm-forward -m V.gm --layers 3-4 -i z -o out >s.gmt
    for name in x out; do gm-show --csv $name s.gmt | tail -n +2 >$name; done
    gm_python - <<'PY'
import numpy as np
x, out = (np.loadtxt(n, delimiter=",") for n in ("x", "out"))
e = (x - out[:, :4]) / np.exp(out[:, 4:] / 2)
assert np.abs(e.mean(0)).max() < 0.07 and np.abs(e.std(0) - 1).max() < 0.06, (e.mean(0), e.std(0))
assert np.abs(np.corrcoef(e.T) - np.eye(4)).max() < 0.08
PY
    gm_assert_equal "$(gm-sample -m V.gm -n 300 --csv | tee drawn.csv | head -n 1)" sepal_length,sepal_width,petal_length,petal_width
    cut -d, -f1-4 iris.csv >plain.csv
    gm-compare --only columns plain.csv drawn.csv | awk '$1 == "largest_ks" { exit !($2 < 0.25) }'
    gm-sample -m V.gm -n 2 --between 5 | gm-forward -m V.gm --layers 3-4 -i z -o out >s.gmt
    gm-show --csv x s.gmt | tail -n +2 >x
    gm-show --csv out s.gmt | tail -n +2 | cut -d, -f1-4 | cmp - x
    gm-sample -m V.gm -n 9 --png s.png --shape 2x2
}

@test "gm-sample draws the same rows with any number of threads: as a stream, CSV, a picture of several models" {
    init_all a
    init_all b
    gm-pipe "$(line a 30)"
    gm-init -o N.gm -s 1 --data iris.csv --label species features dense:16:relu dense:4 gaussian:2 dense:16:relu dense:8 >/dev/null
    for j in 1 2 3 8; do
        {
            gm-sample -j $j -m Ga.gm -n 3000 -s 4 | zstd -dc | sha256sum
            gm-sample -j $j -m Va.gm -n 3000 --csv
            gm-sample -j $j -m Va.gm -n 40 --each-class | zstd -dc | sha256sum
            gm-sample -j $j -m N.gm -n 2000 --csv
            gm-sample -j $j -m N.gm -n 200 --between 9 --csv
            gm-sample -j $j -m Ga.gm,Gb.gm -n 600 --png $j.png --shape 8x8
            gm-pipe -j $j 'gm-sample -m Ga.gm -n 700 | gm-forward -m Da.gm -o d --frozen' | zstd -dc | sha256sum
        } >said.$j
        cmp said.1 said.$j
        cmp 1.png $j.png
    done
    gm_assert_equal "$(wc -l <said.1)" $((3 + 3001 + 2001 + 1801))
    for form in '' --csv; do # nobody reads any more
        run -141 bash -c "gm-sample -j 3 -m Va.gm -n 100000000 $form | head -c 100000 >/dev/null; exit \${PIPESTATUS[0]}"
        gm_assert_equal "$output" ""
    done
}

@test "batchnorm: the running moments are those of NumPy; without training they are used" {
    gm-init -o B.gm -s 4 --data iris.csv --label species features batchnorm dense:classes:softmax >/dev/null
    gm-batch -b 50 --train B.gm -n 3 iris.csv >batches.gmt
    gm-grad -m B.gm --loss 'ce(x,y)' <batches.gmt | gm-step -m B.gm >/dev/null
    gm-save B.gm >B.gmt
    gm_tensor B.gmt 0.mean >mean
    gm_tensor B.gmt 0.variance >variance
    for record in 0 1 2; do gm-show --csv x batches.gmt | tail -n +2 | sed -n "$((record * 50 + 1)),$((record * 50 + 50))p" >x$record; done
    gm_python - <<'PY'
import numpy as np
mean, variance = np.zeros(4), np.ones(4)
for k in range(3):
    x = np.loadtxt("x%d" % k, delimiter=",")
    mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0, ddof=1)
np.savetxt("wanted_mean", mean)
np.savetxt("wanted_variance", variance)
PY
    gm_assert_close mean wanted_mean 1e-5 1e-6
    gm_assert_close variance wanted_variance 1e-5
    # one row alone has no moments of its own: the running ones make it what it is among others
    gm-batch -b 1 -m B.gm iris.csv | gm-forward -m B.gm >s.gmt
    gm_tensor s.gmt out >alone
    gm-batch -b 150 -m B.gm iris.csv | gm-forward -m B.gm >s.gmt
    gm_tensor s.gmt out >together
    gm_assert_close alone together 1e-5
    gm-classify -m B.gm --eval iris.csv | grep -q '^accuracy'
}

@test "a spectral layer divides its weights by an estimate of their largest singular value" {
    gm-init -o S.gm -s 5 --data digits.csv --label digit --optimizer adam:lr=1e-3 features dense:40:leaky:spectral dense:classes:softmax >/dev/null
    gm-batch -b 100 --train S.gm -n 100 digits.csv | gm-grad -m S.gm --loss 'ce(x,y)' | gm-step -m S.gm | gm-log -q
    gm-save S.gm >S.gmt
    gm-show --csv 0.W S.gmt | tail -n +2 >W
    gm_tensor S.gmt 0.u >u
    gm_tensor S.gmt 0.b >b
    gm-batch -b 10 -m S.gm digits.csv | gm-forward -m S.gm --layers 0 -o v | gm-show --csv v | tail -n +2 | head -n 10 >v
    gm-batch -b 10 -m S.gm digits.csv | gm-show --csv x | tail -n +2 | head -n 10 >x
    gm_python - <<'PY'
import numpy as np
W, u, b, x, v = (np.loadtxt(n, delimiter=",") for n in ("W", "u", "b", "x", "v"))
s = np.linalg.svd(W, compute_uv=False)[0]
a = W @ u
estimate = np.linalg.norm(W.T @ (a / np.linalg.norm(a)))
assert 0.9 * s < estimate < 1.0001 * s, (estimate, s)
y = x @ (W / estimate) + b
assert np.abs(np.where(y > 0, y, 0.2 * y) - v).max() < 1e-4
PY
}

@test "rows without a label train what tells known from made up, and nothing else" {
    awk -F, -v OFS=, 'NR > 1 && NR % 3 { $NF = "" } { print }' iris.csv >some.csv
    gm-init -o C.gm --data some.csv --label species --unlabelled features dense:8:tanh dense:classes:softmax >/dev/null
    gm-batch -b 150 -m C.gm some.csv | gm-noise --dim 4 -o fake >batch.gmt
    # ce is the mean over the rows that have one
    gm-grad -m C.gm --loss 'ce(x,y)' <batch.gmt >a.gmt
    awk -F, 'NR == 1 || $NF != ""' some.csv >known.csv
    gm-batch -b 150 -m C.gm known.csv | gm-grad -m C.gm --loss 'ce(x,y)' >b.gmt
    gm_assert_close "$(gm_scalar a.gmt loss/C)" "$(gm_scalar b.gmt loss/C)" 1e-6
    gm_tensor a.gmt grad/C/0.W >a
    gm_tensor b.gmt grad/C/0.W >b
    gm_assert_close a b 1e-4 1e-6
    gm-grad -m C.gm --loss 'ce(x,y) + known(x,1) + known(fake,0)' <batch.gmt >c.gmt
    gm_scalar c.gmt loss/C | awk '!($1 > 1 && $1 < 6) { exit 1 }'
}

@test "what does not fit is refused in one line" {
    init_vae V.gm
    gm-init -o D.gm --data digits.csv --label digit features dense:4:relu dense:1 >/dev/null
    gm-init -o S.gm --data digits.csv --label digit features dense:4:softmax dense:1 >/dev/null
    gm-init -o B.gm --data digits.csv --label digit features batchnorm dense:1 >/dev/null
    gm_assert_fails 2 "loss: column 1: kl needs a gaussian layer, and the model has none" gm-grad -m D.gm --loss 'kl(x)'
    gm_assert_fails 2 "loss: column 1: gp needs a network with one output, not 64" gm-grad -m V.gm --loss 'gp(x,x)'
    gm_assert_fails 2 "loss: column 1: gp has no second derivative through layer 0, dense:4:softmax" gm-grad -m S.gm --loss 'gp(x,x)'
    gm_assert_fails 2 "loss: column 1: gp has no second derivative through layer 0, batchnorm" gm-grad -m B.gm --loss 'gp(x,x)'
    gm_assert_fails 2 "--input-grad: gp gives no gradient of its tensors" gm-grad -m D.gm --loss 'mean(f) + gp(x,f)' --input-grad f --no-param-grad
    gm_assert_fails 2 "loss: column 1: known needs a softmax output; the last layer is linear" gm-grad -m D.gm --loss 'known(x,1)'
    gm_assert_fails 2 "--loss beside --upstream: its terms are of what -i names" gm-grad -m V.gm -i x --upstream z --loss 'kl(y)'
    gm_assert_fails 2 "it must have 6 units, not 5" gm-init -o X.gm 4 dense:5 gaussian:3 dense:2
    gm-init -o E.gm 4 dense:4 gaussian:2 >/dev/null
    gm_assert_fails 1 "E.gm ends with its gaussian layer: it is an encoder" gm-sample -m E.gm -n 3
    gm-batch -b 10 --train B.gm -n 1 digits.csv | gm-grad -m B.gm --loss 'mse(x,1)' --drop stat/B/0.mean >cut.gmt
    run ! gm-step -m B.gm <cut.gmt
    gm_assert_equal "$output" "gm-step: record 0: no tensor 'stat/B/0.mean' (is \`gm-grad -m B.gm\` before this gm-step?)"
    gm_assert_equal "$(gm-show --step B.gm)" 0
}
