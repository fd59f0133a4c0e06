# gm-compare: each measure against NumPy, what sets are alike and which are not, bad input.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

halves() { # TABLE: a.csv and b.csv, every second row
    awk 'NR == 1 { print >"a.csv"; print >"b.csv"; next } { print >(NR % 2 ? "a.csv" : "b.csv") }' "$1.csv"
}

# The numbers of both files.
encoded() { # LABEL
    gm-init -o scale.gm --force --data a.csv --label "$1" --scale none features dense:1 >/dev/null
    for half in a b; do gm-batch -b 1000000 -m scale.gm $half.csv | gm-show --csv x | tail -n +2 >$half.txt; done
}

agrees() { # LABEL K
    encoded "$1"
    gm-compare --label "$1" -k "$2" a.csv b.csv >ours
    gm_python "$BATS_TEST_DIRNAME/compare_reference.py" a.txt b.txt "$2" standard >theirs
    sed -n 's/^column \([^:]*\): ks \([^ ]*\)  wasserstein \([^ ]*\) .*/ks \2\nwasserstein \3/p' ours | head -n 2 >>ours
    while read -r name value; do
        gm_assert_close "$(awk -v n="$name" '$1 == n { print $2; exit }' ours)" "$value" 1e-4 "${3:-2e-5}"
    done <theirs
    [ "$(wc -l <theirs)" -ge 12 ]
}

@test "every measure is NumPy's: digits, wine, iris, and rows that were moved" {
    halves digits
    head -n 200 a.csv >c.csv && mv c.csv a.csv
    head -n 260 b.csv >c.csv && mv c.csv b.csv
    agrees digit 5 1e-4
    halves wine
    agrees cultivar 3
    halves iris
    agrees species 5
    awk -F, -v OFS=, 'NR > 1 { $1 += 0.3; $2 *= 1.5 } { print }' a.csv >b.csv
    agrees species 1
}

@test "two halves of a table are not told apart, shifted rows are; threads change no bit" {
    halves digits
    gm-compare --label digit a.csv b.csv >halves
    awk '$1 == "two_sample_low" && $2 > 0.52 || $1 == "two_sample_high" && $2 < 0.5 || $1 == "copied_rows" && $2 > 0 { exit 1 }' halves
    awk '$1 ~ /^two_sample/ { v[$1] = $2 } END { z = 1.95996398454; n = 2 * 898 / 2.25; p = v["two_sample_accuracy"]
        m = (p + z * z / n / 2) / (1 + z * z / n); r = z * sqrt(p * (1 - p) / n + z * z / n / n / 4) / (1 + z * z / n)
        print m - r, v["two_sample_low"] "\n" m + r, v["two_sample_high"] }' halves |
        while read -r wanted ours; do gm_assert_close "$ours" "$wanted" 1e-5; done
    gm-compare --label digit -j 2 a.csv b.csv | cmp - halves
    awk -F, -v OFS=, 'NR > 1 { for (i = 1; i < NF; i++) $i += 5 } { print }' a.csv >shifted.csv
    gm-compare --label digit --only two-sample,neighbours a.csv shifted.csv >shifted
    awk '$1 == "two_sample_accuracy" { exit !($2 > 0.99) }' shifted
    awk '$1 == "precision" { exit !($2 < 0.01) }' shifted
    run ! grep -q frechet shifted
    # copies are counted, and twins among the real rows are no copies
    { cat a.csv; sed -n 5p a.csv; } >twin.csv
    { head -n 1 a.csv; sed -n 2,11p a.csv; tail -n +2 b.csv; } >copied.csv
    gm-compare --label digit --only neighbours twin.csv copied.csv >figures
    grep -qx 'copied_rows 10' figures
    grep -qx 'real_duplicate_rows 2' figures
}

@test "tables of numbers and names: columns, missing values, labels; JSON holds the same" {
    awk 'BEGIN { print "n,colour,ok"; for (i = 0; i < 60; i++) printf "%s,%s,%s\n", i % 6 ? i : "", i % 3 ? "red" : "blue", i % 2 }' >a.csv
    awk 'BEGIN { print "ok,extra,colour,n"; for (i = 0; i < 60; i++) printf "%s,0,%s,%s\n", i % 4 ? 1 : 0, i % 2 ? "red" : "green", i }' >b.csv
    gm-compare --label ok --only columns a.csv b.csv >figures 2>said
    grep -q "b.csv: .*colour.*" said
    grep -qx 'label_tv 0.25' figures
    grep -q '^column n: .*missing -0.166667$' figures
    grep -qx 'column colour: tv 0.5  frequency 0.5' figures
    gm-compare --label ok --only columns,frechet --json a.csv b.csv 2>/dev/null | gm_python -c '
import json, sys
f = json.load(sys.stdin)
assert f["label_tv"] == 0.25 and f["columns"]["colour"]["tv"] == 0.5 and f["real_rows"] == 60 and f["frechet_distance"] > 0'
}

@test "in the features of a model, and streams" {
    halves digits
    gm-init -o C.gm -s 1 --data a.csv --label digit features dense:16:tanh dense:classes:softmax >/dev/null
    gm-batch -b 64 --train C.gm -n 100 a.csv | gm-grad -m C.gm --loss 'ce(x,y)' | gm-step -m C.gm | gm-log -q
    for half in a b; do
        gm-batch -b 1000 -m C.gm $half.csv | gm-forward -m C.gm --layers 0 -o x --drop x 2>/dev/null >/dev/null || true
        gm-batch -b 1000 -m C.gm $half.csv | gm-forward -m C.gm --layers 0 -o h | gm-show --csv h | tail -n +2 >$half.txt
    done
    gm-compare --features C.gm -k 4 a.csv b.csv >ours
    grep -qx 'features 16' ours
    gm_python "$BATS_TEST_DIRNAME/compare_reference.py" a.txt b.txt 4 >theirs
    for name in frechet_distance kernel_distance precision coverage nearest_median; do
        gm_assert_close "$(awk -v n=$name '$1 == n { print $2 }' ours)" "$(awk -v n=$name '$1 == n { print $2 }' theirs)" 1e-3
    done
    gm-compare --features C.gm:1 --only frechet a.csv b.csv | grep -qx 'features 10'
    for half in a b; do gm-batch -b 1000 -m C.gm $half.csv >$half.gmt; done
    gm-compare --only frechet,kernel a.gmt b.gmt | grep -q '^kernel_distance'
}

@test "bad input is named in one line" {
    halves iris
    gm_assert_fails 2 "two files are compared: REAL and FAKE" gm-compare a.csv
    gm_assert_fails 2 "--only: unknown measure 'frechett' (did you mean frechet?)" gm-compare --only frechett a.csv b.csv
    gm_assert_fails 1 "missing.csv" gm-compare --label species a.csv missing.csv
    cut -d, -f1,3- b.csv >narrow.csv
    gm_assert_fails 1 "narrow.csv: no column 'sepal_width'" gm-compare --label species a.csv narrow.csv
    head -n 4 b.csv >few.csv
    gm_assert_fails 1 "two-sample needs 10 rows of each, there are 75 and 3" gm-compare --label species --only two-sample a.csv few.csv
    gm-compare --label species a.csv few.csv >figures 2>said
    gm_assert_equal "$(grep -c 'left out' said)" 2
    grep -q '^frechet_distance' figures
    head -n 1 b.csv >empty.csv
    gm_assert_fails 1 "empty.csv" gm-compare --label species a.csv empty.csv
    sed '3s/[0-9.]*,/nan,/' b.csv >nan.csv
    gm-compare --label species a.csv nan.csv --only columns >figures 2>said
    gm_assert_equal "$(cat said)" "gm-compare: nan.csv: 1 missing number taken for the mean of the column (none was missing before): sepal_length 1"
    sed '3s/[0-9.]*,/abc,/' b.csv >word.csv
    gm_assert_fails 1 "word.csv: line 3" gm-compare --label species a.csv word.csv
    gm_assert_fails 2 "REAL is read twice, which a pipe cannot be" gm-compare --label species <(cat a.csv) b.csv
    gm_assert_fails 1 "Is a directory" gm-compare --label species a.csv .
    awk -F, -v OFS=, 'NR > 1 { $1 = 0.7 } { print }' a.csv >constant.csv
    awk -F, -v OFS=, 'NR > 1 { $1 = 0.9 } { print }' a.csv >other.csv
    gm-compare --label species --only columns constant.csv other.csv | grep -q '^column sepal_length: ks 1  wasserstein 0.2 .*shift 0.2 '
    gm-compare --label species --only columns --scale range:0,1 constant.csv other.csv | grep -q '^column sepal_length: ks 1 '
    gm-compare --label species constant.csv constant.csv | grep -qE '^frechet_distance [0-9.e-]+$'
    gm_assert_fails 1 "a.csv: " gm-compare --features a.csv a.csv b.csv
    gm-init -o C.gm --data a.csv --label species features dense:4:tanh dense:classes:softmax >/dev/null
    gm_assert_fails 2 "--features: the model has no layer 2, its layers are 0-1" gm-compare --features C.gm:2 a.csv b.csv
    gm_assert_fails 2 "--only columns: what a layer makes of rows has no columns of a table" \
        gm-compare --features C.gm --only frechet,columns a.csv b.csv
    gm-init -o T.gm --data a.csv --label species features+classes dense:4:tanh dense:1 >/dev/null
    gm_assert_fails 1 "--features: T.gm takes more than rows: its INPUT has 2 parts" gm-compare --features T.gm a.csv b.csv
    gm-init -o K.gm --data a.csv --label species pac:5:features dense:4:tanh dense:1 >/dev/null
    gm_assert_fails 1 "K.gm judges packs of 5 rows: it has no output for each row" gm-compare --features K.gm a.csv b.csv
    gm-batch -m C.gm a.csv >a.gmt
    gm_assert_fails 2 "--only correlations: a stream has no columns of a table" gm-compare --only correlations a.gmt a.gmt
}

@test "numbers that products of floats cannot hold are no figures" {
    awk 'BEGIN { srand(1); print "u,v"; for (i = 0; i < 40; i++) printf "%.6ge30,%.6ge30\n", rand() - 0.5, rand() - 0.5 }' >huge.csv
    gm-compare --scale none huge.csv huge.csv >figures 2>said
    gm_assert_equal "$(grep -c 'left out: real row 0 has a length of .*, more than 1e+18' said)" 2
    run ! grep -qE '^(precision|kernel_distance)' figures
    grep -q '^frechet_distance' figures
    gm_assert_fails 1 "kernel: real row 0 has a length of" gm-compare --scale none --only kernel huge.csv huge.csv
    gm-compare huge.csv huge.csv | grep -qx 'copied_rows 40' # scaled they are as others
}

@test "a file and itself: all is copied; a table of equal rows; rows of one class" {
    gm-compare --label species iris.csv iris.csv >figures
    grep -qx 'copied_rows 150' figures
    grep -qx 'nearest_accuracy 0.00666667' figures # two flowers have a twin
    grep -qx 'label_tv 0' figures
    awk '$1 == "two_sample_accuracy" { exit !($2 < 0.5) } $1 == "frechet_distance" { exit !($2 < 1e-9) }' figures
    awk 'BEGIN { print "n,c"; for (i = 0; i < 400; i++) print i % 2 "," (i % 4 < 2 ? "a" : "b") }' >equal.csv
    gm-compare equal.csv equal.csv >figures
    for line in 'copied_rows 400' 'real_duplicate_rows 400' 'precision 1' 'recall 1' 'nearest_least 0' 'nearest_accuracy 0.5'; do
        grep -qx "$line" figures
    done
    awk -F, 'NR == 1 || $NF == 7' digits.csv >sevens.csv
    gm-compare --label digit sevens.csv sevens.csv | grep -qx 'label_tv 0'
    gm_assert_fails 1 "class '0' is not one of" gm-compare --label digit sevens.csv digits.csv
}
