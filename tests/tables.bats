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
