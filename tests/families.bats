# The families of GANs: gan.mk's variables, the losses as they were printed, a film, a collapse that is seen.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p share/gm
    cp -r "$root/pipelines" "$root/examples" share/gm/
}

pipeline() { # VARIABLES...
    GM_NO_INSTALL=1 make --no-print-directory -s -f share/gm/pipelines/gan.mk FUSED=1 SAMPLES=200 "$@"
}

@test "each family trains, and its critic and clipping are its own" {
    for family in nonsaturating minimax lsgan wgan wgan-gp hinge; do
        pipeline FAMILY=$family OUT=$family STEPS=40 KEEP=40 >/dev/null 2>&1
        gm_assert_equal "$(gm-show --step $family/G.gm) $(wc -l <$family/samples.csv)" "40 201"
    done
    # Wasserstein: weights in the box; G learns at each fifth step
    gm-save wgan/D.gm >D.gmt
    gm_tensor D.gmt 0.W | awk '$1 > 0.0100001 || $1 < -0.0100001 { exit 1 }'
    gm-save wgan/G.gm | gm-show --json | grep -q '"updates":8'
    gm-save hinge/G.gm | gm-show --json | grep -q '"updates":40'
    run ! pipeline FAMILY=wasserstein OUT=x
    [[ $output == *"FAMILY is one of nonsaturating minimax lsgan"* ]]
    run ! pipeline FAMILY=hinge SMOOTH=0.9 OUT=x
    [[ $output == *"hinge has no targets to smooth"* ]]
}

@test "the losses as they were printed push D of real and of generated rows to 0, the standard ones do not" {
    local steps=600
    [ -z "${GM_SANITIZED:-}" ] || steps=20 # which take longer there, and what is learned is seen without
    pipeline FAMILY=article OUT=article STEPS=$steps >/dev/null 2>&1
    pipeline OUT=standard STEPS=$steps >/dev/null 2>&1
    for run in article standard; do
        gm_assert_equal "$(gm-show --step $run/G.gm) $(gm-show --step $run/D.gm)" "$steps $steps"
        gm-classify -m $run/D.gm share/gm/examples/data/digits.csv | awk 'NR > 1 { s += $1 } END { print s / (NR - 1) }' >$run.real
        gm-classify -m $run/D.gm $run/samples.csv | awk 'NR > 1 { s += $1 } END { print s / (NR - 1) }' >$run.fake
    done
    [ $steps = 600 ] || return 0
    awk '!($1 < 0.01) { exit 1 }' article.real article.fake
    awk '!($1 > 0.4) { exit 1 }' standard.real
}

@test "a conditional GAN makes the class that is asked for; unknown classes are refused" {
    pipeline CONDITIONAL=1 OUT=told STEPS=40 >/dev/null 2>&1
    gm_assert_equal "$(head -n 1 told/samples.csv)" "$(head -n 1 share/gm/examples/data/digits.csv)"
    gm-sample -m told/G.gm -n 5 --label 7 --csv | awk -F, 'NR > 1 && $NF != 7 { exit 1 }'
    gm_assert_equal "$(gm-sample -m told/G.gm -n 3 --each-class --csv | awk -F, 'NR > 1 { n[$NF]++ } END { for (c in n) if (n[c] == 3) k++; print k }')" 10
    gm_assert_fails 2 "--label: 'seven' is no class of told/G.gm" gm-sample -m told/G.gm -n 5 --label seven --csv
    gm_assert_fails 1 "told/D.gm takes rows of data, not noise: it is no generator" gm-sample -m told/D.gm -n 5
}

@test "a discriminator that judges packs of rows: PAC, also told the class, goes on to the same bits; PAC divides BATCH" {
    pipeline PAC=8 OUT=a STEPS=60 >/dev/null 2>&1
    pipeline PAC=8 OUT=b STEPS=25 >/dev/null 2>&1
    pipeline PAC=8 OUT=b STEPS=60 THREADS=2 >/dev/null 2>&1
    gm_same_model a/G.gm b/G.gm
    gm_same_model a/D.gm b/D.gm
    cmp a/samples.csv b/samples.csv
    gm-show a/D.gm | grep -q '^  input, packs of 8 rows *512$'
    gm_assert_equal "$(gm-show --step a/D.gm) $(wc -l <a/samples.csv)" "60 201"
    pipeline PAC=2 CONDITIONAL=1 FAMILY=wgan-gp OUT=told STEPS=20 >/dev/null 2>&1
    gm-show told/D.gm | grep -q '^  input, packs of 2 rows *148$'
    gm_assert_equal "$(wc -l <told/samples.csv)" 201
    # the run is of its packs
    run ! pipeline PAC=4 OUT=a STEPS=60
    [[ $output == *"a was begun with other settings"* ]]
    run ! pipeline PAC=3 OUT=x
    [[ $output == *"PAC=3 must divide BATCH=128: each row is in one pack"* ]]
    run ! pipeline PAC=two OUT=x
    [[ $output == *"PAC must be a whole number from 1 on, not 'two'"* ]]
    run ! pipeline PAC=0 OUT=x
    [[ $output == *"PAC must be a whole number from 1 on, not '0'"* ]]
    [ ! -e x ]
}

@test "the average of the generator samples; a film shows the way; an interrupted run ends with the same bits" {
    pipeline OUT=a STEPS=120 EMA=0.99 FILM=40 KEEP=50 >/dev/null 2>&1
    pipeline OUT=b STEPS=70 EMA=0.99 FILM=40 KEEP=50 >/dev/null 2>&1
    pipeline OUT=b STEPS=120 EMA=0.99 FILM=40 KEEP=50 >/dev/null 2>&1
    gm_same_model a/G.gm b/G.gm
    cmp a/samples.csv b/samples.csv
    gm_assert_equal "$(find a/film -name '*.gmt' -printf '%f\n' | sort -V | xargs)" "40.gmt 80.gmt 120.gmt"
    # three rows of twelve pictures, and a pixel between them
    od -An -tu1 -j16 -N8 a/film.png | awk '{ w = $3 * 256 + $4; h = $7 * 256 + $8; exit !(w > 3.5 * h && w < 4.5 * h) }'
    gm-save a/G.gm >a.gmt
    gm-save --params a/G.gm >average.gmt
    gm_assert_equal "$(gm_tensor a.gmt 0.W/a | cksum)" "$(gm_tensor average.gmt 0.W | cksum)"
    run ! cmp -s <(gm_tensor a.gmt 0.W) <(gm_tensor average.gmt 0.W)
}

@test "gm-log says once when generated rows become all alike, or a loss is not finite" {
    gm-noise -n 5120 -b 16 --dim 6 -o x | gm-noise --dim 6 -o fake >alive.gmt
    gm-log -q --watch fake=x <alive.gmt 2>said
    gm_assert_equal "$(cat said)" ""
    gm-init -o flat.gm --init normal:0.001 6 dense:6 >/dev/null
    gm-noise -n 5120 -b 16 --dim 6 -o x | gm-forward -m flat.gm -o fake | gm-log -q --watch fake=x 2>said
    gm_assert_equal "$(cat said)" "gm-log: step 144: 'fake' has spread less than a tenth as far as 'x' for 160 records: its rows are all alike (mode collapse)"
    gm_python - <<'PY' >diverged.gmt
import sys, msgpack
for step, loss in enumerate([1.0, 2.0, float("inf"), float("nan")]):
    sys.stdout.buffer.write(msgpack.packb({"gm": 1, "step": step, "rows": 1, "tensors": {}, "scalars": {"loss/D": 1.0, "loss/G": loss}}))
sys.stdout.buffer.write(msgpack.packb({"gm": 1, "end": True, "records": 4}))
PY
    gm-log -q -o run.csv <diverged.gmt 2>said
    gm_assert_equal "$(cat said)" "gm-log: step 2: 'loss/G' is not finite: the training has diverged"
    gm_assert_equal "$(tail -n 1 run.csv)" "3,1,nan"
    gm_assert_fails 2 "--watch: 'fake' is not FAKE=REAL" gm-log --watch fake
    run ! gm-log -q --watch lost=x <alive.gmt
    [[ $output == *"lost"* ]]
}
