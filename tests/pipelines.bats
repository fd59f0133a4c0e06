# The pipelines as users run them, with few steps: both ways, interrupted, finished, changed.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
    cd "$BATS_TEST_TMPDIR" || return 1
    # the tools under test, found in PATH as installed ones are
    mkdir -p share/gm
    cp -r "$root/pipelines" "$root/examples" share/gm/
}

pipeline() { # NAME VARIABLES...
    local name=$1
    shift
    GM_NO_INSTALL=1 make --no-print-directory -f "share/gm/pipelines/$name.mk" "$@"
}

png_size() { # "WIDTHxHEIGHT"
    od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }'
}

@test "gan.mk leaves pictures, rows, a log and a plot; again there is nothing to do; more steps go on" {
    pipeline gan STEPS=60 2>err.txt
    grep -q "step 60  loss/D" err.txt
    for file in samples.png samples.csv run.csv losses.png; do [ -s out/gan/$file ]; done
    gm_assert_equal "$(head -1 out/gan/samples.csv)" "$(head -1 share/gm/examples/data/digits.csv | cut -d, -f1-64)"
    gm_assert_equal "$(wc -l <out/gan/samples.csv)" 2001
    awk -F, 'NR > 1 { for (i = 1; i <= NF; i++) if ($i !~ /^([0-9]|1[0-6])$/) exit 1 }' out/gan/samples.csv
    gm_assert_equal "$(wc -l <out/gan/run.csv)" 61
    gm_assert_equal "$(png_size out/gan/losses.png)" 900x500
    sum=$(cd out/gan && sha256sum G.gm D.gm samples.png samples.csv run.csv)
    pipeline gan STEPS=60 2>err.txt
    gm_assert_equal "$(cat err.txt)" ""
    gm_assert_equal "$(cd out/gan && sha256sum G.gm D.gm samples.png samples.csv run.csv)" "$sum"
    pipeline gan STEPS=90 FUSED=1 THREADS=2
    gm_assert_equal "$(gm-show --step out/gan/G.gm)" 90
    pipeline gan STEPS=90 OUT=out/once
    gm_same_model out/gan/G.gm out/once/G.gm
    cmp out/gan/samples.csv out/once/samples.csv
}

@test "gan.mk goes on after SIGKILL, and ends with the same bits" {
    local steps=400
    [ -z "${GM_SANITIZED:-}" ] || steps=150 # which take longer there
    pipeline gan STEPS=$steps OUT=out/whole
    for _ in 1 2 3; do
        setsid make -f share/gm/pipelines/gan.mk STEPS=$steps OUT=out/cut &>/dev/null &
        pid=$!
        sleep 0.4
        kill -KILL -- -$pid || true
        wait $pid || true
    done
    pipeline gan STEPS=$steps OUT=out/cut THREADS=2
    gm_same_model out/whole/G.gm out/cut/G.gm
    gm_same_model out/whole/D.gm out/cut/D.gm
    cmp out/whole/samples.csv out/cut/samples.csv
}

@test "a run is not gone on with under other settings" {
    pipeline gan STEPS=5
    run pipeline gan STEPS=10 BATCH=64
    [ "$status" -ne 0 ]
    [[ $output == *"out/gan was begun with other settings"* ]]
    [[ $output == *"BATCH=64"* ]]
    gm_assert_equal "$(gm-show --step out/gan/G.gm)" 5
}

@test "a stage that fails fails the pipeline, in both ways" {
    for fused in '' 1; do
        run pipeline gan STEPS=5 OUT=out/bad$fused FUSED=$fused NOISE=20 G_LOSS='ce(fake,y)'
        [ "$status" -ne 0 ]
        [[ $output == *"gm-grad: "*"loss: column 1: ce needs a softmax"* ]]
        [ ! -e out/bad$fused/samples.png ]
    done
}

@test "gan.mk trains on IDX pictures by its variables alone" {
    images=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
    pipeline gan DATA=$images NOISE=16 G_LAYERS='dense:64:leaky dense:features:tanh' D_LAYERS='dense:64:leaky dense:1:sigmoid' STEPS=20 PICTURES=9 SAMPLES=10
    gm_assert_equal "$(gm-show --step out/gan/G.gm)" 20
    gm_assert_equal "$(head -1 out/gan/samples.csv | tr ',' '\n' | wc -l)" 784
    [ -s out/gan/samples.png ]
}

@test "discriminator.mk tells rows apart, in both ways with the same bits" {
    pipeline discriminator ROWS=2000 EPOCHS=6 OUT=out/a
    pipeline discriminator ROWS=2000 EPOCHS=6 OUT=out/b FUSED=1
    gm_same_model out/a/D.gm out/b/D.gm
    cmp out/a/figures out/b/figures
    awk '$1 == "auc" { found = 1; if ($2 <= 0.6) exit 1 } END { exit !found }' out/a/figures
}

@test "article.mk trains, generates, predicts; its tools replay it in one process" {
    pipeline article ROWS=1000 EPOCHS=3 OUT=out/a >told.txt
    pipeline article ROWS=1000 EPOCHS=3 OUT=out/b FUSED=1
    gm_same_model out/a/G.gm out/b/G.gm
    gm_same_model out/a/D.gm out/b/D.gm
    gm_assert_equal "$(gm-show --step out/a/G.gm)" 21
    gm_assert_equal "$(wc -l <out/a/predictions.csv)" 1001
    gm_assert_equal "$(head -1 out/a/generated.csv | tr ',' '\n' | wc -l)" 100
    awk 'NR > 1 && ($1 <= 0 || $1 >= 1) { exit 1 }' out/a/predictions.csv
    grep -q 'mean of 1000: 0\.' told.txt
}

@test "classify.mk: figures, early stopping, the best epoch; killed in the middle it ends the same" {
    early() { pipeline classify EPOCHS=40 ROUND=2 PATIENCE=2 METRIC=accuracy LAYERS="dense:32:relu dense:classes:softmax" "$@" 2>/dev/null; }
    early | tee shown.txt
    grep -q "^accuracy 0.9" shown.txt
    gm_assert_equal "$(cat out/classify/figures)" "$(gm-classify -m out/classify/model.gm --eval --fold 1/5 share/gm/examples/data/digits.csv)"
    best=$(for e in $(seq 2 2 40); do [ ! -s out/classify/rounds/$e ] || echo "$(awk '/^accuracy/ { print $2 }' out/classify/rounds/$e) $e"; done | sort -k1,1gr -k2,2g | head -1)
    gm_assert_equal "$(awk '/^accuracy/ { print $2 }' out/classify/figures)" "${best% *}"
    gm_assert_equal "$(gm-show --step out/classify/model.gm)" $((${best#* } * (1436 / 32)))
    [ "$(gm-show --step out/classify/C.gm)" -eq $(((${best#* } + 4) * (1436 / 32))) ] # two rounds later it stopped
    [ ! -s out/classify/rounds/40 ]
    for _ in 1 2 3; do
        setsid make -f share/gm/pipelines/classify.mk OUT=out/cut EPOCHS=40 ROUND=2 PATIENCE=2 METRIC=accuracy \
            LAYERS="dense:32:relu dense:classes:softmax" &>/dev/null &
        pid=$!
        sleep 0.3
        kill -KILL -- -$pid || true
        wait $pid || true
    done
    early OUT=out/cut >/dev/null
    gm_same_model out/classify/C.gm out/cut/C.gm
    gm_same_model out/classify/model.gm out/cut/model.gm
    early FUSED=1 OUT=out/fused >/dev/null
    gm_same_model out/classify/model.gm out/fused/model.gm
}

@test "classify.mk: what must be said, and a test file of one's own" {
    gm_assert_fails 2 "LABEL=COLUMN must say" bash -c "make -f share/gm/pipelines/classify.mk DATA=people.csv 2>&1 >/dev/null | head -1 >&2; exit 2"
    head -101 share/gm/examples/data/iris.csv >train.csv
    { head -1 train.csv; tail -n +102 share/gm/examples/data/iris.csv; } >test.csv
    pipeline classify DATA=train.csv LABEL=species FOLD= TEST=test.csv EPOCHS=2 >shown.txt 2>/dev/null || cat shown.txt
    grep -q "class 'virginica'" <(pipeline classify DATA=train.csv LABEL=species FOLD= TEST=test.csv EPOCHS=2 2>&1) # never seen in training
}

@test "svm.mk: linear and RBF, probabilities by calibration" {
    pipeline svm DATA=share/gm/examples/data/wine.csv UNITS=200 EPOCHS=30 OUT=out/rbf 2>/dev/null
    gm-show out/rbf/model.gm | grep -q "rff gamma 0.07692"
    pipeline svm DATA=share/gm/examples/data/wine.csv KERNEL=linear EPOCHS=200 OUT=out/linear 2>/dev/null
    for kernel in rbf linear; do
        awk '$1 == "accuracy" { good = $2 >= 0.9 } $1 == "log_loss" { good += $2 < 0.6 } END { exit good != 2 }' out/$kernel/figures
        gm-classify -m out/$kernel/model.gm --proba share/gm/examples/data/wine.csv | awk -F, 'NR > 1 && ($2 + $3 + $4 - 1) ^ 2 > 1e-8 { exit 1 }'
    done
}

@test "cv.mk: a table of folds, side by side; sweep.mk: a grid, nothing twice" {
    pipeline cv DATA=share/gm/examples/data/iris.csv EPOCHS=20 K=3 -j2 2>/dev/null >shown.txt
    grep -qE "^figure +fold 1 +fold 2 +fold 3 +mean deviation$" shown.txt
    awk '$1 == "accuracy" { m = ($2 + $3 + $4) / 3; d = sqrt((($2 - m) ^ 2 + ($3 - m) ^ 2 + ($4 - m) ^ 2) / 2)
        exit !(NF == 6 && ($5 - m) ^ 2 < 1e-7 && ($6 - d) ^ 2 < 1e-7 && m > 0.8) }' shown.txt
    pipeline sweep DATA=share/gm/examples/data/iris.csv EPOCHS=3 LR="1e-5 1e-2" HIDDEN="8 8-4" -j2 2>/dev/null >shown.txt
    gm_assert_equal "$(grep -c "^[0-9.]*  lr_" shown.txt)" 4
    grep -q "^best: out/sweep/lr_1e-2" shown.txt
    before=$(find out/sweep -name C.gm -exec stat -c '%n %Y %Z' {} + | sort)
    pipeline sweep DATA=share/gm/examples/data/iris.csv EPOCHS=3 LR="1e-5 1e-3 1e-2" HIDDEN="8 8-4" 2>err.txt >shown.txt
    gm_assert_equal "$(grep -c "^[0-9.]*  lr_" shown.txt)" 6
    gm_assert_equal "$(find out/sweep -name C.gm -not -path '*1e-3*' -exec stat -c '%n %Y %Z' {} + | sort)" "$before"
    # the same runs by another engine, which takes a line of shell for each
    mv out/sweep out/here
    pipeline sweep -s DATA=share/gm/examples/data/iris.csv EPOCHS=3 LR="1e-5 1e-3 1e-2" HIDDEN="8 8-4" commands >commands.txt
    gm_assert_equal "$(wc -l <commands.txt)" 6
    tr '\n' '\0' <commands.txt | xargs -0 -P 2 -I{} bash -c {} 2>/dev/null
    for point in out/here/lr*; do gm_same_model "$point/C.gm" "out/sweep/${point##*/}/C.gm"; done
    pipeline sweep DATA=share/gm/examples/data/iris.csv EPOCHS=3 LR="1e-5 1e-3 1e-2" HIDDEN="8 8-4" &>/dev/null
    cmp out/here/table out/sweep/table
}

@test "classify.mk: figures are of what is named, data that changed are refused, two makes share one folder" {
    head -60 share/gm/examples/data/wine.csv >some.csv
    cp share/gm/examples/data/wine.csv data.csv
    rows() { awk '$1 == "rows" { print $2 }' out/classify/figures; }
    tried() { pipeline classify DATA=data.csv LABEL=cultivar EPOCHS=3 "$@" >/dev/null 2>err.txt; }
    tried && gm_assert_equal "$(rows)" 36
    touch -d yesterday some.csv
    tried TEST=some.csv && gm_assert_equal "$(rows)" 59
    tried && gm_assert_equal "$(rows)" 36
    head -100 share/gm/examples/data/wine.csv >data.csv
    run -2 tried
    grep -q "or other contents of its INPUTS" err.txt
    both() { pipeline classify LAYERS=dense:classes:softmax EPOCHS=6 PATIENCE=4 "$@" &>/dev/null; }
    both OUT=out/both &
    sleep 0.2
    both OUT=out/both
    wait $!
    both OUT=out/one
    for file in rounds/{1..6} figures; do cmp out/both/$file out/one/$file; done
    gm_same_model out/both/model.gm out/one/model.gm
}

@test "pipelines refuse what cannot be meant, before any training" {
    refuses() { # TEXT PIPELINE VARIABLES...
        local text=$1
        shift
        pipeline "$@" >said.txt 2>&1 && { cat said.txt && false; }
        grep -qF "$text" said.txt || { cat said.txt && false; }
        [ ! -e out ] || { echo "out was made" && false; }
    }
    for n in 0 -1 abc ''; do refuses "EPOCHS must be a whole number from 1 on, not '$n'" classify "EPOCHS=$n"; done
    refuses "THREADS must be a whole number from 1 on, not 'two'" classify THREADS=two
    refuses "'acuracy' is no figure" classify METRIC=acuracy
    refuses "PATIENCE and CALIBRATE need rows that are held out" classify FOLD= TEST=t.csv PATIENCE=3
    refuses "are probabilities already" classify CALIBRATE=1
    refuses "log_loss needs probabilities" svm PATIENCE=2 METRIC=log_loss
    refuses "K must be at least 2" cv K=1
    refuses "TEST has no place here" cv TEST=t.csv
    refuses "TEST has no place here" sweep TEST=t.csv
    refuses "these are not to be set" sweep OPTIMIZER=sgd:lr=1
    refuses "make cannot work with blanks" classify "OUT=a b"
    # a first try that made no model does not stand in the way of its correction
    run -2 pipeline classify LABEL=nolabel EPOCHS=1 OUT=tried
    pipeline classify EPOCHS=1 OUT=tried &>/dev/null
}

@test "tables of other forms go through the pipelines" {
    { echo "zip;size;kind"; seq 120 | awk '{ print ($1 % 3) ";" ($1 % 7 == 0 ? "n/a" : $1 % 5) ";" ($1 % 3 == 1 ? "yes" : "no") }'; } >form.csv
    pipeline classify DATA=form.csv LABEL=kind SEPARATOR=';' CATEGORICAL=zip MISSING=n/a EPOCHS=30 BATCH=8 2>/dev/null | grep -q "^accuracy 1.0000"
    gm-show out/classify/model.gm | grep -q "zip .*3 categories"
}

@test "vae.mk leaves a bound, rows and pictures; it goes on, and a finished run has nothing to do" {
    pipeline vae EPOCHS=3 E_LAYERS=dense:32:relu LATENT=4 2>err.txt
    for file in samples.png samples.csv reconstructions.png interpolation.png latent.csv losses.png; do [ -s out/vae/$file ]; done
    awk '!($1 > 15 && $1 < 60) { exit 1 }' out/vae/elbo
    gm_assert_equal "$(head -n 1 out/vae/latent.csv)" z0,z1,z2,z3
    gm_assert_equal "$(wc -l <out/vae/interpolation.csv)" 65
    sum=$(cd out/vae && sha256sum V.gm elbo *.png *.csv)
    pipeline vae EPOCHS=3 E_LAYERS=dense:32:relu LATENT=4 2>err.txt
    gm_assert_equal "$(cat err.txt)" ""
    gm_assert_equal "$(cd out/vae && sha256sum V.gm elbo *.png *.csv)" "$sum"
    pipeline vae EPOCHS=5 E_LAYERS=dense:32:relu LATENT=4 FUSED=1 THREADS=2
    pipeline vae EPOCHS=5 E_LAYERS=dense:32:relu LATENT=4 OUT=out/once
    gm_same_model out/vae/V.gm out/once/V.gm
    pipeline vae EPOCHS=2 E_LAYERS=dense:32:relu LATENT=4 CONDITIONAL=1 LIKELIHOOD=gaussian DEVIATION=0.3 OUT=out/told
    gm-sample -m out/told/V.gm -n 3 --label 7 --csv | awk -F, 'NR > 1 && $NF != 7 { exit 1 }'
    # other rows are held out: what is told of them is theirs, with the file's date before the run's
    head -n 101 share/gm/examples/data/digits.csv >test.csv
    touch -d '2 hours ago' test.csv
    before=$(cat out/vae/elbo)
    pipeline vae EPOCHS=5 E_LAYERS=dense:32:relu LATENT=4 TEST=test.csv FOLD=1/5 | grep -q "bound of test.csv"
    [ "$(cat out/vae/elbo)" != "$before" ]
    gm_assert_equal "$(wc -l <out/vae/latent.csv)" 101
    pipeline vae EPOCHS=5 E_LAYERS=dense:32:relu LATENT=4
    gm_assert_equal "$(cat out/vae/elbo)" "$before"
    for wrong in FOLD= TEST=nofile.csv; do
        run ! pipeline vae EPOCHS=5 OUT=out/never "$wrong"
        [ ! -e out/never ]
    done
    [[ $output == *"TEST=nofile.csv: there is no file 'nofile.csv'"* ]]
    run ! pipeline vae LIKELIHOOD=poisson
    [[ $output == *"LIKELIHOOD is bernoulli or gaussian, not 'poisson'"* ]]
}

@test "tabular.mk: a table of the same columns, a comparison; it goes on, and more rows are drawn without training" {
    pipeline tabular out/tabular/people.csv
    gm_assert_equal "$(wc -l <out/tabular/people.csv)" 20001
    sed -i 2001q out/tabular/people.csv # to find neighbours among all takes a minute under sanitizers
    pipeline tabular STEPS=20 ROWS=200 LAYERS=dense:16:leaky 2>err.txt >figures.txt
    grep -q '^two_sample_accuracy ' figures.txt
    gm_assert_equal "$(wc -l <out/tabular/samples.csv)" 201
    gm_assert_equal "$(head -n 1 out/tabular/samples.csv)" "$(head -n 1 out/tabular/people.csv)"
    awk -F, 'NR > 1 && ($2 !~ /^(none|school|college|doctor)$/ || $11 !~ /^(yes|no)$/ || $1 < 18 || $1 > 90) { print; exit 1 }' out/tabular/samples.csv
    gm-sample -m out/tabular/gan/G.gm -n 50 --label no --csv | awk -F, 'NR > 1 && $NF != "no" { exit 1 }'
    sum=$(sha256sum out/tabular/samples.csv out/tabular/gan/*.gm)
    cp out/tabular/samples.csv fewer.csv
    pipeline tabular STEPS=20 ROWS=200 LAYERS=dense:16:leaky 2>err.txt >again.txt
    gm_assert_equal "$(cat err.txt)" ""
    cmp <(tail -n +4 figures.txt) again.txt
    gm_assert_equal "$(sha256sum out/tabular/samples.csv out/tabular/gan/*.gm)" "$sum"
    pipeline tabular STEPS=20 ROWS=300 LAYERS=dense:16:leaky 2>err.txt >again.txt
    gm_assert_equal "$(wc -l <out/tabular/samples.csv)" 301
    head -n 201 out/tabular/samples.csv >first.csv # of the same noise, in products of other sizes
    cmp <(cut -d, -f2,11 first.csv) <(cut -d, -f2,11 fewer.csv)
    for rows in first fewer; do tail -n +2 $rows.csv | cut -d, -f1 >$rows.txt; done
    gm_assert_close first.txt fewer.txt 1e-3
    # without a label, and columns of numbers that are names
    pipeline tabular DATA=share/gm/examples/data/iris.csv STEPS=10 ROWS=50 LAYERS=dense:8:leaky OUT=out/iris >/dev/null
    awk -F, 'NR > 1 && $5 !~ /^(setosa|versicolor|virginica)$/ { exit 1 }' out/iris/samples.csv
    pipeline tabular DATA=out/tabular/people.csv LABEL=buys CATEGORICAL=children STEPS=10 ROWS=50 LAYERS=dense:8:leaky OUT=out/named >/dev/null
    gm-show out/named/gan/G.gm | grep -q 'children .*6 categories'
    run ! pipeline tabular ROWS=many
    [[ $output == *"ROWS must be a whole number"* ]]
}

@test "semi.mk, few.mk and tstr.mk: rows without a label, generated rows, and what they are worth" {
    pipeline few EPOCHS=3 GAN_STEPS=20 STEPS=30 LAYERS="dense:32:leaky dense:classes:softmax" PER_CLASS=5 >figures.txt
    gm_assert_equal "$(cut -d' ' -f1 figures.txt | xargs)" "labelled_accuracy extended_accuracy semi_accuracy"
    gm_assert_equal "$(wc -l <out/few/labelled.csv)" 51
    gm_assert_equal "$(awk -F, 'NR > 1 && $NF == ""' out/few/some.csv | wc -l)" 1207
    gm_assert_equal "$(cat out/few/test.csv <(awk -F, 'NR > 1 && $NF != ""' out/few/some.csv) | sort | uniq -d | wc -l)" 0
    # a class of fewer rows is named
    awk -F, 'NR == 1 || $NF != 7 || n++ < 3' share/gm/examples/data/digits.csv >seldom.csv
    GM_NO_INSTALL=1 make --no-print-directory -s -f share/gm/pipelines/few.mk DATA=seldom.csv LABEL=digit PER_CLASS=5 OUT=out/seldom \
        out/seldom/labelled.csv 2>err.txt
    gm_assert_equal "$(cat err.txt)" "few.mk: class 7 has 3 rows, not 5"
    pipeline tstr REAL=out/few/labelled.csv FAKE=out/few/gan/samples.csv TEST=out/few/test.csv LABEL=digit EPOCHS=2 UNITS=64 BATCH=16 >figures.txt
    gm_assert_equal "$(cut -d' ' -f1 figures.txt | xargs)" "real synthetic"
    # the same again is the same; other rows to test on, however old, are other figures
    pipeline tstr REAL=out/few/labelled.csv FAKE=out/few/gan/samples.csv TEST=out/few/test.csv LABEL=digit EPOCHS=2 UNITS=64 BATCH=16 2>err.txt | cmp - figures.txt
    gm_assert_equal "$(cat err.txt)" ""
    tail -n 300 out/few/test.csv | cat <(head -n 1 out/few/test.csv) - >part.csv
    touch -d '2 hours ago' part.csv
    run ! cmp -s figures.txt <(pipeline tstr REAL=out/few/labelled.csv FAKE=out/few/gan/samples.csv TEST=part.csv LABEL=digit EPOCHS=2 UNITS=64 BATCH=16)
    pipeline semi OUT=out/few/semi DATA=out/few/some.csv LABEL=digit STEPS=30 LAYERS="dense:32:leaky dense:classes:softmax" SHAPE=8x8 TEST=part.csv | grep -q part.csv
    gm_assert_equal "$(cat out/few/semi/figures.of)" TEST=part.csv
    run ! pipeline tstr REAL=out/few/labelled.csv
    [[ $output == *"REAL, FAKE and TEST are files of rows"* ]]
    run ! pipeline semi DATA=out/few/some.csv
    [[ $output == *"LABEL=COLUMN"* ]]
}
