#!/usr/bin/env bats
# Tables: rows without a label, columns of any shape, and tables that are generated.
bats_require_minimum_version 1.5.0
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/{iris,wine}.csv .
}

half_labelled() { # every second row of iris loses its label
    awk -F, -v OFS=, 'NR > 1 && NR % 2 { $NF = "" } { print }' iris.csv >half.csv
}

@test "a row without a label is refused unless --unlabelled was asked for" {
    half_labelled
    gm_assert_fails 1 "half.csv: line 3, column 'species': empty; a class belongs here (gm-init --unlabelled takes rows without one)" \
        gm-init -o C.gm --data half.csv --label species features dense:classes:softmax
    gm_assert_fails 1 "gm-init --unlabelled takes rows without one" gm-batch --label species half.csv
    gm-init -o C.gm --data iris.csv --label species features dense:classes:softmax
    gm_assert_fails 1 "half.csv: line 3, column 'species': empty" gm-batch -m C.gm half.csv
    gm_assert_fails 2 "--unlabelled goes with --label" gm-init -o D.gm --data half.csv --unlabelled features dense:2
    gm_assert_fails 2 "--unlabelled goes with --label" gm-batch --unlabelled half.csv
    gm_assert_fails 2 "--unlabelled" gm-batch -m C.gm --unlabelled half.csv
    awk -F, -v OFS=, 'NR > 1 { $NF = "" } { print }' iris.csv >none.csv
    gm_assert_fails 1 "label column 'species' is empty in every row" \
        gm-init -o D.gm --data none.csv --label species --unlabelled features dense:2
}

@test "rows without a label are of class -1, in no class's count, and one more stratum of the folds" {
    half_labelled
    run gm-init -o C.gm --data half.csv --label species --unlabelled features dense:classes:softmax
    gm_assert_equal "$output" "C.gm: 4 numeric columns, 3 classes (setosa 25, versicolor 25, virginica 25), 75 rows without a class, 15 parameters"
    gm-show C.gm | grep -q 'label species .*3 classes: setosa 25, versicolor 25, virginica 25; 75 rows without$'
    gm-batch -m C.gm half.csv | gm-show --csv y >y.csv
    gm_assert_equal "$(tail -n +2 y.csv | sort | uniq -c | xargs)" "75 -1 25 0 25 1 25 2"
    gm-batch --label species --unlabelled half.csv | gm-show --csv y | cmp - y.csv
    # a checkpoint keeps it, a saved stream is taken as the file is
    gm-save C.gm >C.gmt && gm-init -o R.gm --from C.gmt
    gm-batch -m C.gm half.csv >half.gmt
    gm-batch -m R.gm half.gmt | gm-show --csv y | cmp - y.csv
    gm-init -o strict.gm --data iris.csv --label species features dense:classes:softmax
    gm_assert_fails 1 "tensor 'y', row 1: class -1 is not one of the model's 3 classes" gm-batch -m strict.gm half.gmt
    gm_assert_fails 1 "knows other columns, classes or scaling" gm-batch --train C.gm,strict.gm -n 1 half.csv
    gm-batch -m C.gm --fold 2/5 half.csv | gm-show --csv y | sort | uniq -c | grep -q ' 15 -1$'
    gm-batch -m C.gm --fold 2/5 half.gmt | gm-show --csv y >a && gm-batch -m C.gm --fold 2/5 half.csv | gm-show --csv y | cmp - a
}

@test "rows without a label are left out of figures, which is said" {
    half_labelled
    gm-init -o C.gm --data half.csv --label species --unlabelled features dense:classes:softmax >/dev/null
    gm-classify -m C.gm --eval half.csv >figures 2>said
    gm_assert_equal "$(cat said)" "gm-classify: 75 rows without a class left out"
    gm_assert_equal "$(awk '$1 == "rows" { print $2 }' figures)" 75
    awk -F, 'NR == 1 || $NF != ""' half.csv >known.csv
    gm-classify -m C.gm --eval known.csv | cmp - figures
    gm_assert_equal "$(gm-classify -m C.gm half.csv | wc -l)" 151
}

mixed() { # a table with a skewed column, an atom, missing numbers, fixed decimals, and its label in the middle
    awk 'BEGIN { srand(5); print "income,ok,paid,colour,age"
        for (i = 0; i < 400; i++) printf "%.2f,%s,%s,%s,%d\n", exp(7 + 2 * rand()), rand() < 0.4 ? "yes" : "no",
            rand() < 0.3 ? "0" : rand() < 0.1 ? "" : int(900 * rand()) / 10, rand() < 0.7 ? "red" : "blue", 18 + 50 * rand() }' >mixed.csv
}

@test "the scale quantile: features are uniform, an atom is one number, and a model keeps it" {
    mixed
    gm-init -o C.gm --data mixed.csv --label ok --scale quantile features dense:classes:softmax
    gm-show C.gm | grep -q 'features, scale quantile$'
    gm-show C.gm | grep -q '^  income .* 2[0-9][0-9] knots$'
    gm-batch -b 400 -m C.gm mixed.csv | gm-show --csv x >x.csv
    awk -F, 'NR > 1 { if ($1 <= -1 || $1 >= 1) exit 1; q[int(($1 + 1) * 2)]++ } END { for (i = 0; i < 4; i++) if (q[i] < 98 || q[i] > 102) exit 1 }' x.csv
    # the third of the rows that have a 0 share one feature
    gm_assert_equal "$(paste -d, mixed.csv x.csv | awk -F, 'NR > 1 && $3 == "0" { print $7 }' | sort -u | wc -l)" 1
    gm_assert_equal "$(paste -d, mixed.csv x.csv | awk -F, 'NR > 1 && ($3 == "") != ($8 == 1)')" ""
    gm-save C.gm >C.gmt && gm-init -o R.gm --from C.gmt
    gm-batch -b 400 -m R.gm mixed.csv | gm-show --csv x | cmp - x.csv
    head -n 200 mixed.csv >half.csv
    gm-init -o H.gm --data half.csv --label ok --scale quantile features dense:classes:softmax
    gm_assert_fails 1 "knows other columns, classes or scaling than" gm-batch --train C.gm,H.gm -n 1 mixed.csv
    gm_assert_fails 2 "unknown scale 'quantil' (did you mean 'quantile'?)" gm-init -o X.gm --data mixed.csv --scale quantil features dense:2
    printf '\0\0\010\003\0\0\0\002\0\0\0\001\0\0\0\002abcd' >pictures
    gm_assert_fails 2 "the scale 'quantile' is for CSV files" gm-init -o X.gm --data pictures --scale quantile features dense:2
}

@test "the scale quantile serves a classifier" {
    gm-init -o C.gm -s 1 --data wine.csv --label cultivar --scale quantile --fold 1/5 --hold-out --optimizer adam:lr=0.01 features dense:16:relu dense:classes:softmax
    gm-batch --train C.gm -b 32 -e 40 --fold 1/5 --hold-out wine.csv | gm-grad -m C.gm --loss 'ce(x,y)' | gm-step -m C.gm | gm-log -q
    gm-classify -m C.gm --eval --fold 1/5 wine.csv | awk '$1 == "accuracy" { exit !($2 > 0.9) }'
}

@test "gm-sample --csv writes a table as the data are: names, order, categories, ranges, decimals" {
    mixed
    gm-init -o G.gm -s 1 --data mixed.csv --label ok --scale quantile 8+classes dense:32:leaky dense:features:tanh
    gm-sample -m G.gm -n 500 --csv >fake.csv
    gm_assert_equal "$(head -n 1 fake.csv)" "$(head -n 1 mixed.csv)"
    gm_assert_equal "$(grep -cvE '^[0-9]+\.[0-9]{2},(yes|no),([0-9]+(\.[1-9])?)?,(red|blue),[0-9]+$' fake.csv)" 1
    awk -F, 'FNR == 1 { file++; next } file == 1 { if (n++ == 0 || $1 < low) low = $1 + 0; if ($1 > high) high = $1 + 0 }
        file == 2 && ($1 < low || $1 > high || $5 < 18 || $5 > 68) { print; exit 1 }' mixed.csv fake.csv
    grep -q ',,' fake.csv
    gm-init -o F.gm -s 1 --data fake.csv --label ok --scale quantile 8+classes dense:features:tanh
}

@test "a mixed layer draws categories with the chances of a softmax, and numbers through its activation" {
    mixed
    gm-init -o G.gm -s 3 --init normal:1e-9 --data mixed.csv --label ok --scale range:-1,1 4 dense:features mixed:0.2:tanh >/dev/null
    gm-show G.gm | grep -q '^  1 mixed tanh 0.2 *6 *0$'
    # logits of the features income, paid, paid is missing, red, blue, age
    gm-save G.gm >G.gmt
    gm_python - <<'PY'
import sys, msgpack, numpy as np, zstandard
data = zstandard.ZstdDecompressor().stream_reader(open("G.gmt", "rb"), read_across_frames=True).read()
records = list(msgpack.Unpacker(__import__("io").BytesIO(data), raw=False))
b = records[0]["tensors"]["0.b"]
names = [c for c in records[0]["info"]["model"]["spans"]]
assert names == [0, 0, -1, 2, 0], names
values = np.array([0.3, -0.4, -1.0, 1.2, 0.2, 0.1], "<f4")
assert b["shape"] == [6], b["shape"]
b["data"] = values.tobytes()
open("edited.gmt", "wb").write(b"".join(msgpack.packb(r) for r in records))
PY
    gm-init --force -o G.gm --from edited.gmt >/dev/null
    gm-sample -m G.gm -n 20000 -s 5 | gm-show --csv x >x.csv
    gm_python - <<'PY'
import numpy as np
x = np.loadtxt("x.csv", delimiter=",", skiprows=1)
for column, wanted in (0, 0.3), (1, -0.4), (5, 0.1):
    assert np.abs(x[:, column] - np.tanh(wanted)).max() < 1e-5, column
assert np.abs(x[:, 3] + x[:, 4] - 1).max() < 1e-5
red, missing = (x[:, 3] > x[:, 4]).mean(), (x[:, 2] > 0.5).mean()
assert abs(red - 1 / (1 + np.exp(-1.0))) < 0.012, red  # 4 standard errors
assert abs(missing - 1 / (1 + np.exp(1.0))) < 0.012, missing
# at a temperature of 0.2 most are near 0 or 1, and some between
near = ((x[:, 3] < 0.05) | (x[:, 3] > 0.95)).mean()
assert 0.6 < near < 0.95, near
PY
    # without noise: the softmax at this temperature
    gm-noise -n 1 -b 1 --dim 4 -o x | gm-forward -m G.gm | gm-show --csv out | tail -n 1 | awk -F, '{ d = $4 - 1 / (1 + exp(-5)); exit !(d < 1e-5 && d > -1e-5) }'
    # the first rows of a longer call are those of a shorter one
    gm-sample -m G.gm -n 300 -s 5 | gm-show --csv x | cmp - <(head -n 301 x.csv)
    gm-save G.gm >a.gmt && gm-init -o H.gm --from a.gmt >/dev/null
    gm-sample -m H.gm -n 300 -s 5 | gm-show --csv x | cmp - <(head -n 301 x.csv)
}

@test "a mixed layer that does not fit is refused" {
    mixed
    gm_assert_fails 2 "layer 'mixed:0.2': mixed needs data whose columns it makes" gm-init -o X.gm 4 dense:6 mixed:0.2
    gm_assert_fails 2 "the layer before must have the 6 units that the data have features, not 5" \
        gm-init -o X.gm --data mixed.csv --label ok 4 dense:5 mixed:0.2
    gm_assert_fails 2 "layer 'mixed:0.2': mixed makes rows of data: it must be the last layer" \
        gm-init -o X.gm --data mixed.csv --label ok 4 dense:features mixed:0.2 dense:2
    gm_assert_fails 2 "the temperature must be 0.001 to 1000, not '0'" gm-init -o X.gm --data mixed.csv --label ok 4 dense:features mixed:0
    gm_assert_fails 2 "numbers go through linear, tanh or sigmoid, not 'tan' (did you mean tanh?)" \
        gm-init -o X.gm --data mixed.csv --label ok 4 dense:features mixed:0.2:tan
    gm-init -o M.gm --data mixed.csv --label ok features dense:features mixed:0.2 >/dev/null
    gm_assert_fails 2 "loss: column 1: bce needs a sigmoid output, or a linear one as the logit; the last layer is mixed" gm-grad -m M.gm --loss 'bce(x,1)'
    gm_assert_fails 2 "loss: column 1: ce needs a softmax output; the last layer is mixed" gm-grad -m M.gm --loss 'ce(x,y)'
}
