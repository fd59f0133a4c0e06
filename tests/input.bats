# What users get wrong: each is one clear line, the right status, and nothing lost.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    data=$BATS_TEST_DIRNAME/../examples/data
    cp "$data"/*.csv .
}

small_pair() {
    gm-init -o G.gm --data digits.csv --label digit --scale range:-1,1 20 dense:32:leaky dense:features:tanh
    gm-init -o D.gm --data digits.csv --label digit --scale range:-1,1 features dense:32:leaky dense:1:sigmoid
}

@test "a misspelt option is a usage error that proposes the right one, in every tool" {
    for tool in gm-init gm-batch gm-noise gm-forward gm-grad gm-reduce gm-allreduce gm-step gm-sample gm-classify gm-show gm-log gm-save gm-pipe; do
        gm_assert_fails 2 "$tool: unknown option '--hlep' (did you mean --help?)" $tool --hlep
        gm_assert_fails 2 "$tool: unknown option '-Z'" $tool -Z
    done
    gm_assert_fails 2 "did you mean --loss?" gm-grad -m x.gm --lsos 'bce(x,1)'
}

@test "a number that is none, or out of range, is a usage error" {
    gm_assert_fails 2 "--dim: '2x' is not a whole number" gm-noise --dim 2x
    gm_assert_fails 2 "--dim: '0' is not a whole number" gm-noise --dim 0
    gm_assert_fails 2 "--batch: '-3' is not" gm-batch -b -3 digits.csv
    gm_assert_fails 2 "--lr: 'fast' is not a number" gm-step -m D.gm --lr fast
    gm_assert_fails 2 "needs a value" gm-noise --dim
}

@test "a missing file is named" {
    gm_assert_fails 1 "none.csv: No such file or directory" gm-batch none.csv
    gm_assert_fails 1 "none.gm: cannot open: No such file or directory" gm-forward -m none.gm
    gm_assert_fails 1 "none.csv: No such file or directory" gm-init -o D.gm --data none.csv features dense:1
    gm_assert_fails 1 "none.gmt: No such file or directory" gm-init -o D.gm --from none.gmt
    [ ! -e D.gm ]
}

@test "layers, activations, optimizers, initializers and losses that do not exist" {
    gm_assert_fails 2 "layer 'dense:256:rellu': unknown activation 'rellu' (did you mean relu?)" gm-init -o D.gm 64 dense:256:rellu dense:1
    gm_assert_fails 2 "(did you mean dense?)" gm-init -o D.gm 64 dens:256 dense:1
    gm_assert_fails 2 "adam" gm-init -o D.gm --optimizer adm 64 dense:1
    gm_assert_fails 2 "glorot" gm-init -o D.gm --init glorto 64 dense:1
    [ ! -e D.gm ]
    gm-init -o D.gm 64 dense:8:relu dense:1:sigmoid
    gm_assert_fails 2 "loss: column 12: unknown term 'bse'" gm-grad -m D.gm --loss 'bce(x,1) + bse(fake,0)'
    gm_assert_fails 2 "loss: column 1: ce needs a softmax" gm-grad -m D.gm --loss 'ce(x,y)'
}

@test "an existing model is not overwritten without --force" {
    gm-init -o D.gm 8 dense:4
    sum=$(sha256sum <D.gm)
    gm_assert_fails 1 "D.gm: exists" gm-init -o D.gm 9 dense:4
    gm_assert_equal "$(sha256sum <D.gm)" "$sum"
    gm-init --force -o D.gm 9 dense:4
    [ "$(sha256sum <D.gm)" != "$sum" ]
}

@test "a ragged row, a word where a number belongs, an unknown class: line and column" {
    gm-init -o wine.gm --data wine.csv --label cultivar features dense:classes:softmax
    sed '118s/^[^,]*,[^,]*,[^,]*/1,2,n\/a/' wine.csv >word.csv
    gm_assert_fails 1 "word.csv: line 118, column 'ash': 'n/a' is not a number" gm-classify -m wine.gm word.csv
    sed '7s/,/;/' wine.csv >ragged.csv
    gm_assert_fails 1 "ragged.csv: line 7: 13 fields, the header has 14" gm-classify -m wine.gm ragged.csv
    sed '9s/,A$/,Q/' wine.csv >class.csv
    gm_assert_fails 1 "class.csv: line 9, column 'cultivar'" gm-classify -m wine.gm --eval class.csv
    sed '1s/ash/asche/' wine.csv >column.csv
    gm_assert_fails 1 "column.csv: no column 'ash'" gm-classify -m wine.gm column.csv
    cut -d , -f 3,5-9,14 wine.csv >columns.csv
    gm_assert_fails 1 "columns.csv: no columns 'alcohol', 'malic_acid', 'alcalinity_of_ash', 'color_intensity'" gm-classify -m wine.gm columns.csv
    sed '5s/^[^,]*/0x10/' wine.csv >hex.csv
    gm_assert_fails 1 "hex.csv: line 5, column 'alcohol': '0x10' is not a number" gm-classify -m wine.gm hex.csv
    gm_assert_fails 1 "hex.csv: line 5, column 'alcohol': '0x10' is not a number" gm-init -o D.gm --data hex.csv features dense:1
    sed '5s/^[^,]*/1e999/' wine.csv >huge.csv
    gm_assert_fails 1 "huge.csv: line 5, column 'alcohol': '1e999' is not a number" gm-classify -m wine.gm huge.csv
}

@test "an empty file, a header alone, a label that is not there or constant" {
    : >empty.csv
    gm_assert_fails 1 "empty.csv: empty" gm-init -o D.gm --data empty.csv features dense:1
    head -1 wine.csv >header.csv
    gm_assert_fails 1 "header.csv" gm-init -o D.gm --data header.csv features dense:1
    gm_assert_fails 1 "no label column 'cultivat'" gm-init -o D.gm --data wine.csv --label cultivat features dense:classes:softmax
    sed '2,$s/,[ABC]$/,A/' wine.csv >one.csv
    gm_assert_fails 1 "one class only" gm-init -o D.gm --data one.csv --label cultivar features dense:classes:softmax
    gm_assert_fails 1 "empty.csv: empty" gm-batch empty.csv
}

@test "a model of the wrong width names tensor and widths" {
    small_pair
    gm-noise -n 4 --dim 100 >z.gmt
    run -1 bash -c 'gm-forward -m G.gm -i z -o fake <z.gmt 2>&1 >/dev/null'
    gm_assert_equal "$output" "gm-forward: record 0: tensor 'z': expected 20 columns, got 100"
    run -1 bash -c 'gm-forward -m G.gm -i zz -o fake <z.gmt 2>&1 >/dev/null'
    [[ $output == *"no tensor 'zz'"* ]]
}

@test "text is no stream, a cut pipe is said to be cut, an empty pipe too" {
    small_pair
    run -1 bash -c 'gm-forward -m G.gm -i z <digits.csv 2>&1 >/dev/null'
    [[ $output == "gm-forward: standard input: not a gm stream"* ]]
    gm-noise -n 40 -b 20 --dim 20 >z.gmt
    run -1 bash -c 'head -c 1000 z.gmt | gm-forward -m G.gm -i z 2>&1 >/dev/null'
    gm_assert_equal "$output" "gm-forward: standard input: stream cut off in record 0"
    run -1 bash -c 'gm-forward -m G.gm -i z 2>&1 >/dev/null </dev/null'
    [[ $output == "gm-forward: standard input: empty"* ]]
    size=$(stat -c %s z.gmt)
    for cut in 1 2 5; do
        run -1 bash -c "head -c $((size - cut)) z.gmt | gm-show 2>&1 >/dev/null"
        [[ $output == *"stream cut off"* ]]
    done
}

@test "labels outside the classes, numbers that are not finite" {
    gm-init -o wine.gm --data wine.csv --label cultivar features dense:classes:softmax
    sed 's/,C$/,Q/' wine.csv | gm-batch -m wine.gm -b 8 - 2>err.txt >/dev/null && false
    grep -q "column 'cultivar': .*'Q'" err.txt
    printf 'a,b\n1,2\n3,4\n' >ab.csv
    gm-init -o ab.gm 2 dense:1
    gm_python - >nan.gmt <<'P'
import sys, struct, msgpack
t = {"nd": True, "type": "<f4", "shape": [2, 2], "data": struct.pack("<4f", 1, 2, float("nan"), 4)}
sys.stdout.buffer.write(msgpack.packb({"gm": 1, "rows": 2, "tensors": {"x": t}}) + msgpack.packb({"gm": 1, "end": True, "records": 1}))
P
    run -1 bash -c 'gm-forward -m ab.gm <nan.gmt 2>&1 >/dev/null'
    gm_assert_equal "$output" "gm-forward: record 0: tensor 'x': row 1, column 0 is nan"
}

@test "a binary stream is never written to a terminal" {
    small_pair
    run script -qec "$(command -v gm-noise) --dim 4 -n 4" /dev/null </dev/null
    [ "$status" -eq 2 ]
    [[ $output == *"| gm-show"* ]]
    run script -qec "$(command -v gm-save) D.gm" /dev/null </dev/null
    [ "$status" -eq 2 ]
}

@test "a full disk is an error, and leaves no half file behind" {
    small_pair
    run bash -c 'gm-noise -n 1000 --dim 100 2>&1 >/dev/full'
    [ "$status" -eq 1 ]
    [[ $output == *"No space left on device"* ]]
    gm-init -o wine.gm --data wine.csv --label cultivar features dense:classes:softmax
    run bash -c 'gm-classify -m wine.gm wine.csv 2>&1 >/dev/full'
    [ "$status" -eq 1 ]
    [[ $output == *"No space left on device"* ]]
    run bash -c 'gm-show D.gm 2>&1 >/dev/full'
    [ "$status" -eq 1 ]
    mkdir dir
    gm_assert_fails 1 "dir" gm-save -o dir D.gm
    gm_assert_fails 1 "No such file or directory" gm-save -o none/D.gmt D.gm
    gm_assert_equal "$(ls dir)" ""
}

@test "a model that is none" {
    gm_assert_fails 1 "wine.csv: " gm-show --step wine.csv
    gm-noise -n 4 --dim 4 >z.gmt
    gm_assert_fails 1 "z.gmt" gm-forward -m z.gmt
    gm-init -o D.gm 8 dense:4
    head -c 5000 D.gm >cut.gm
    gm_assert_fails 1 "cut.gm" gm-show --step cut.gm
}

@test "gm-pipe refuses what it cannot run, with the reason" {
    gm_assert_fails 2 "'tee' is no gm tool" gm-pipe 'gm-noise -n 4 --dim 4 | tee x | gm-show'
    gm_assert_fails 2 "unknown tool 'gm-shwo' (did you mean gm-show?)" gm-pipe 'gm-noise -n 4 --dim 4 | gm-shwo'
    gm_assert_fails 2 "'>' needs a shell" gm-pipe 'gm-noise -n 4 --dim 4 > x'
    gm_assert_fails 2 "let the shell expand it" gm-pipe 'gm-noise -n 4 --dim $K | gm-show'
    gm_assert_fails 2 "gm-init works alone" gm-pipe 'gm-init -o D.gm 8 dense:4 | gm-show'
    gm_assert_fails 2 "empty stage" gm-pipe 'gm-noise -n 4 --dim 4 | | gm-show'
    gm_assert_fails 2 "only be the first stage" gm-pipe 'gm-noise -n 4 --dim 4 | gm-noise -n 4 --dim 4 | gm-show'
    gm_assert_fails 2 "only be the last stage" gm-pipe 'gm-noise -n 4 --dim 4 | gm-show | gm-log'
    gm_assert_fails 2 "not closed" gm-pipe "gm-noise -n 4 --dim 4 | gm-show --csv 'z"
    gm_assert_fails 2 "gm-noise: --dim: 'x'" gm-pipe 'gm-noise -n 4 --dim x | gm-show'
}

@test "folds: what tests is never trained on, nor known to the model" {
    gm-batch --label cultivar --fold 1/5 wine.csv | gm-show --csv x >inside.csv
    gm-batch --label cultivar --fold 1/5 --hold-out wine.csv | gm-show --csv x >outside.csv
    gm-batch --label cultivar wine.csv | gm-show --csv x >all.csv
    gm_assert_equal "$(sort inside.csv <(tail -n +2 outside.csv))" "$(sort all.csv)"
    gm_assert_equal "$(wc -l <inside.csv)" 37
    run gm-init -o wine.gm --data wine.csv --label cultivar --fold 1/5 --hold-out features dense:classes:softmax
    gm_assert_equal "$output" "wine.gm: 13 numeric columns, 3 classes (A 47, B 57, C 38), 42 parameters; fold 1/5 is held out"
    # the rows outside have the mean 0 in every column, as the model knows them
    gm-batch -m wine.gm --fold 1/5 --hold-out wine.csv -b 1000 | gm-show --csv x |
        awk -F, 'NR > 1 { for (i = 1; i <= NF; i++) s[i] += $i } END { for (i in s) if (s[i] > 1e-3 || s[i] < -1e-3) exit 1 }'
    gm-batch --train wine.gm -n 1 -b 142 --fold 1/5 --hold-out wine.csv | gm-show --csv x | tail -n +2 | sort >trained
    gm-batch -m wine.gm --fold 1/5 --hold-out wine.csv | gm-show --csv x | tail -n +2 | sort | cmp - trained
    # training on what was held out is said
    gm-show wine.gm | grep -qx '  data wine.csv: 142 rows outside of fold 1/5, 13 features, scale standard'
    gm-batch --train wine.gm -n 1 wine.csv 2>said >/dev/null
    gm_assert_equal "$(cat said)" "gm-batch: wine.gm was made with fold 1/5 held out, and is now trained on rows of it (--fold 1/5 --hold-out leaves them out)"
    gm-batch --train wine.gm -n 1 --fold 1/5 --hold-out wine.csv 2>said >/dev/null
    gm_assert_equal "$(cat said)" ""
    # another seed, another fold; streams of all rows have the same folds
    gm-batch --label cultivar --fold 1/5:1 wine.csv | gm-show --csv x >other.csv
    run ! cmp -s inside.csv other.csv
    gm-batch --label cultivar wine.csv | gm-batch -b 9 --fold 1/5 - | gm-show --csv x | cmp - inside.csv
}

@test "folds: classes that are equal as numbers are one, in CSV as in a stream" {
    awk -F, 'NR == 1 { print; next } { sub(/[^,]*$/, NR % 3 == 0 ? "1.0" : NR % 5 == 0 ? "1" : NR % 2 ? "-0" : "0.0"); print }' iris.csv >spelt.csv
    gm-batch --label species --fold 2/7 spelt.csv | gm-show --csv x >inside.csv
    gm-batch --label species spelt.csv | gm-batch --fold 2/7 - | gm-show --csv x | cmp - inside.csv
    gm-init -o spelt.gm --data spelt.csv --label species --scale none --fold 2/7 --hold-out features dense:classes:softmax
    gm-batch -m spelt.gm --fold 2/7 spelt.csv | gm-show --csv x | cmp - inside.csv
}

@test "folds that are none" {
    gm_assert_fails 2 "--fold: 'five' is no fold; I/K or I/K:SEED belongs here" gm-batch --fold five wine.csv
    gm_assert_fails 2 "--fold: fold '6/5': folds are numbered from 1 to 5" gm-batch --fold 6/5 wine.csv
    gm_assert_fails 2 "--hold-out goes with --fold" gm-batch --hold-out wine.csv
    gm_assert_fails 2 "--fold I/K and --hold-out go together" gm-init -o D.gm --data wine.csv --fold 1/5 features dense:1
    gm_assert_fails 2 "go with --data" gm-init -o D.gm --fold 1/5 --hold-out 4 dense:1
    gm-init -o wine.gm --data wine.csv --label cultivar features dense:classes:softmax
    cut -d , -f 1-13 wine.csv >bare.csv
    gm_assert_fails 1 "bare.csv: no label column 'cultivar'" gm-batch -m wine.gm --fold 1/5 bare.csv
    # a class whose only row is held out
    { cat iris.csv; echo 5,3,1,0.2,rare; } >rare.csv
    for i in 1 2 3; do
        gm-init --force -o rare.gm --data rare.csv --label species --fold $i/3 --hold-out features dense:classes:softmax 2>>said
    done
    gm_assert_equal "$(cat said)" "gm-init: class 'rare' cannot be learnt: all of its rows are held out"
}

@test "missing numbers: the mean and an indicator, or a count at the end" {
    printf 'a,b,k\n1,NA,x\n,4,y\n3,2,x\n2,?,y\n' >holes.csv
    gm-init -o holes.gm --data holes.csv --label k features dense:classes:softmax
    run gm-batch -m holes.gm holes.csv
    gm_assert_equal "$(gm-batch -m holes.gm holes.csv 2>&1 | gm-show --csv x | sed 's/1\.2247[0-9]*/q/')" "x_0,x_1,x_2,x_3
-q,0,0,1
0,1,1,0
q,0,-1,0
0,0,0,1"
    gm-init -o iris.gm --data iris.csv --label species features dense:classes:softmax
    sed '3s/^[^,]*//; 5s/^[^,]*/NaN/; 5s/,[^,]*,/,-,/' iris.csv >later.csv
    gm-batch -m iris.gm later.csv 2>said >/dev/null
    name=$(head -1 iris.csv | cut -d , -f 1) second=$(head -1 iris.csv | cut -d , -f 2)
    gm_assert_equal "$(cat said)" "gm-batch: 3 missing numbers taken for the mean of the column (none was missing before): $name 2, $second 1"
    gm-batch --train iris.gm -n 1 later.csv 2>said >/dev/null
    grep -q "^gm-batch: 3 missing numbers" said
    gm-classify -m iris.gm later.csv 2>said >/dev/null
    grep -q "^gm-classify: 3 missing numbers" said
    # words are no missing numbers, but those that one says are
    gm_assert_fails 1 "column 'b': 'n/a1' is not a number" gm-init -o D.gm --data <(sed 's/?/n\/a1/' holes.csv) features dense:1
    gm-init -o D.gm --data <(sed 's/?/-999/; s/NA//' holes.csv) --label k --missing -999 features dense:1
    gm-show --json D.gm | grep -q '"missing":\[1,2\].*"marks":\["-999"\]'
    # drawn rows have holes too
    gm-init -o G.gm --data holes.csv --label k 2 dense:features
    gm-sample -m G.gm -n 200 --csv | tail -n +2 | grep -q '^,'
}

@test "a column that begins with what is no number is no column of names unawares" {
    sed 's/,/;/g; 2,$s/\./,/g' iris.csv >german.csv
    gm_assert_fails 1 "german.csv: line 2, column '$(head -1 iris.csv | cut -d , -f 1)': '5,1' is not a number: numbers have a point (gm-init --categorical COLUMN, if all are names)" \
        gm-init -o D.gm --data german.csv --separator ';' --label species features dense:classes:softmax
    for word in 0x10 1e999 inf n/a None . low; do
        sed "2s:^[^,]*:$word:" iris.csv >first.csv
        gm_assert_fails 1 "line 2, column '$(head -1 iris.csv | cut -d , -f 1)': '$word' is not a number" \
            gm-init -o D.gm --data first.csv --label species features dense:classes:softmax
    done
    gm-init -o D.gm --data first.csv --label species --missing low features dense:classes:softmax
    gm-init --force -o D.gm --data first.csv --label species --categorical "$(head -1 iris.csv | cut -d , -f 1)" features dense:classes:softmax
    # codes, dates and clock times are names
    printf 'a,b,c,k\n3a,2020-01-02,10:30,x\n7,2020-01-03,9:15,y\n12-B,2021-01-01,11:00,x\n' >codes.csv
    run gm-init -o codes.gm --data codes.csv --label k features dense:classes:softmax
    [[ $output == "codes.gm: 3 categorical columns"* ]]
}

@test "a column that is empty where it is learnt from" {
    printf 'a,b,k\n1,,x\n2,,y\n3,5,x\n4,,y\n' >hollow.csv
    for i in 1 2; do
        gm-init --force -o hollow.gm --data hollow.csv --label k --fold $i/2 --hold-out features dense:classes:softmax 2>>said >/dev/null
        gm-batch -m hollow.gm hollow.csv >/dev/null 2>>said
    done
    gm_assert_equal "$(cat said)" "gm-init: column 'b' is empty in every row that is not held out: nothing can be learnt of it"
    gm-init --force -o hollow.gm --data <(sed 's/,5/,/' hollow.csv) features dense:1 2>said
    gm_assert_equal "$(cat said)" "gm-init: column 'b' is empty in every row: nothing can be learnt of it"
}

@test "columns without a name of their own, as pandas and R write them" {
    gm-init -o iris.gm --data iris.csv --label species features dense:classes:softmax
    gm-batch -m iris.gm iris.csv | gm-show --csv x >expected
    awk -F, 'NR == 1 { print "," $0 ",more,more,"; next } { print NR "," $0 ",7,8," }' iris.csv >pandas.csv
    gm-batch -m iris.gm pandas.csv | gm-show --csv x | cmp - expected
    gm_assert_fails 1 "pandas.csv: line 1: column 1 has no name (if it only numbers the rows, leave it out)" gm-init -o D.gm --data pandas.csv features dense:1
    gm_assert_fails 1 "columns 6 and 7 are both named 'more'" gm-init -o D.gm --data <(cut -d , -f 2-8 pandas.csv) features dense:1
    gm_assert_fails 1 "pandas.csv: more than one column is named 'more'" gm-classify -m iris.gm --id more pandas.csv
    sed '1s/more/species/' pandas.csv >twice.csv
    gm_assert_fails 1 "twice.csv: more than one column is named 'species'" gm-classify -m iris.gm twice.csv
}

@test "blank lines: rows of a table of one column, skipped in others unless rows are counted" {
    printf 'a\n1\n3\n\n2\n' >one.csv
    gm-init -o one.gm --data one.csv --scale none features dense:2:softmax
    gm_assert_equal "$(gm-batch -m one.gm one.csv | gm-show --csv x)" "x_0,x_1
1,0
3,0
2,1
2,0"
    gm-init -o iris.gm --data iris.csv --label species features dense:classes:softmax
    { head -3 iris.csv; echo; tail -n +4 iris.csv; echo; } >blank.csv
    gm-classify -m iris.gm blank.csv | cmp - <(gm-classify -m iris.gm iris.csv)
    gm-classify -m iris.gm --keep-going blank.csv >kept 2>said && false
    gm_assert_equal "$(sed -n 4p kept | tr -d ,)" ""
    gm_assert_equal "$(wc -l <kept)" 152
    grep -q "^gm-classify: 1 row could not be used; .*blank.csv: line 4: another number of fields" said
}

@test "categories: said by the user, unknown ones counted, empty ones kept" {
    printf 'zip,town,k\n10115,Rome,x\n20095,,y\n10115,Oslo,y\n' >towns.csv
    run gm-init -o towns.gm --data towns.csv --label k --categorical zip features dense:classes:softmax
    gm_assert_equal "$output" "towns.gm: 2 categorical columns, 2 classes (x 1, y 2), 12 parameters"
    gm_assert_fails 1 "no column 'zop' (did you mean 'zip'?)" gm-init -o D.gm --data towns.csv --categorical zop features dense:1
    gm_assert_fails 1 "line 2, column 'town': 'Rome' is not a number" gm-init -o D.gm --data towns.csv --numeric town features dense:1
    gm_assert_fails 2 "cannot be numeric and categorical" gm-init -o D.gm --data towns.csv --numeric zip --categorical zip features dense:1
    printf 'zip,town\n1,Rome\n2,Bonn\n3,\n' >new.csv
    gm_assert_equal "$(gm-batch -m towns.gm new.csv 2>said | gm-show --csv x)" "x_0,x_1,x_2,x_3,x_4
0,0,1,0,0
0,0,0,0,0
0,0,0,1,0"
    gm_assert_equal "$(cat said)" "gm-batch: column 'zip': 3 rows with a category that the model does not know, as '1'
gm-batch: column 'town': 1 row with a category that the model does not know, as 'Bonn'"
}

@test "other separators, no header" {
    sed 's/,/;/g' iris.csv >semi.csv
    sed '1d; s/,/\t/g' iris.csv >bare.tsv
    gm-batch --label species --scale standard iris.csv | gm-show --csv x >expected
    gm-batch --label species --scale standard --separator ';' semi.csv | gm-show --csv x | cmp - expected
    gm-batch --label -1 --scale standard --separator tab --no-header bare.tsv | gm-show --csv x | cmp - expected
    gm-init -o bare.gm --data bare.tsv --separator '\t' --no-header --label 5 features dense:classes:softmax
    gm-batch -m bare.gm - <bare.tsv | gm-show --csv x | cmp - expected
    cut -f 1-4 bare.tsv | gm-batch -m bare.gm - | gm-show --csv x | cmp - expected
    gm_assert_fails 2 "the model knows how its data are written" gm-batch -m bare.gm --no-header bare.tsv
    gm_assert_fails 2 "separator 'semi': one mark such as" gm-batch --separator semi semi.csv
    gm_assert_fails 1 "(a header? the model's data had none)" gm-classify -m bare.gm <(sed 's/,/\t/g' iris.csv)
    gm_assert_fails 1 "has the file no header?" gm-batch <(printf '5,5\n1,2\n')
    gm-init -o iris.gm --data iris.csv --label species features dense:classes:softmax
    gm_assert_fails 1 "has the file no header?" gm-classify -m iris.gm <(tail -n +2 iris.csv | head -1)
    gm_assert_fails 1 "one column only: is its separator another one?" gm-classify -m iris.gm semi.csv
    gm_assert_fails 1 "no label column 'species'; the file has one column only" gm-init -o D.gm --data semi.csv --label species features dense:1
    gm-init -o G.gm --data bare.tsv --separator tab --no-header --label 5 4+classes dense:features
    gm-sample -m G.gm -n 3 --csv >drawn.tsv
    gm_assert_equal "$(wc -l <drawn.tsv)" 3
    gm-batch -m bare.gm drawn.tsv | gm-show | grep -q 'rows 3.*y <i4 3'
    # a decimal comma is no number
    gm_assert_fails 1 "line 1, column 'c1': '1,5' is not a number" gm-batch -m bare.gm <(printf '1,5\t1\t1\t1\n')
}

@test "a quote that is never closed in 500 MB: the line where it opened, in little memory" {
    big() { printf 'a,b\n1,2\n3,"4\n'; yes 1,2 | head -c 500000000; }
    big | ([ -n "${GM_SANITIZED:-}" ] || ulimit -v 100000; gm-init -o D.gm --data - features dense:1) >said 2>&1 && false
    gm_assert_equal "$(cat said)" "gm-init: standard input: line 3: a quote opened here is never closed within 1 MiB"
}

@test "gm-show: what a model knows of its data" {
    printf 'zip;town;age;k\n10115;Rome;1;x\n20095;;n/a;y\n10115;Oslo;7;y\n' >towns.csv
    gm-init -o towns.gm --data towns.csv --label k --categorical zip --missing n/a --separator ';' features dense:classes:softmax
    gm_assert_equal "$(gm-show towns.gm | tail -n 5)" "  data towns.csv: 3 rows, 7 features, scale standard, separated by ';', missing numbers are n/a
  zip                      2 categories: 10115, 20095
  town                     3 categories: Rome, '', Oslo
  age                      numeric, 1 to 7, mean 4, deviation 3, 1 missing
  label k                  2 classes: x 1, y 2"
    gm-init -o digits.gm --data digits.csv --label digit features dense:classes:softmax
    gm-show digits.gm | grep -qx '  \.\.\. 48 more: 48 numeric'
    gm_assert_equal "$(gm-show digits.gm | wc -l)" 25
    # a list of any length, and control characters, stay one line
    { echo 'a,k'; for i in $(seq 300); do printf '"w%d\n\033[31m",%d\n' "$i" $((i % 2)); done; } >words.csv
    gm-init -o words.gm --data words.csv --label k features dense:classes:softmax
    gm-show words.gm | grep -q 'a  *300 categories: w1??\[31m, .*, \.\.\. (29[0-9] more)$'
}
