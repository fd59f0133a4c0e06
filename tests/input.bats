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
    for tool in gm-init gm-batch gm-noise gm-forward gm-grad gm-step gm-sample gm-classify gm-show gm-log gm-save gm-pipe; do
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
