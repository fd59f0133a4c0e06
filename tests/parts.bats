# Parts of batches: gm-batch --shard, what is drawn for their rows, and gm-reduce, which adds their gradients.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

# Writes a stream of records, each a line of Python: tensors' values in place of their maps.
write_stream() { # FILE, lines of Python dicts on stdin
    gm_python -c '
import msgpack, numpy, sys
lines = [eval(line) for line in sys.stdin]
with open(sys.argv[1], "wb") as f:
    for r in lines:
        for name, value in r.get("tensors", {}).items():
            a = numpy.array(value, value.dtype if isinstance(value, numpy.ndarray) else "<f4")
            r["tensors"][name] = {"nd": True, "type": a.dtype.str, "shape": list(a.shape), "data": a.tobytes()}
        f.write(msgpack.packb({"gm": 1, **r}))
    f.write(msgpack.packb({"gm": 1, "end": True, "records": len(lines)}))' "$1"
}

# Every number of a model, one a line.
numbers_of() { # MODEL
    local name
    gm-save --params "$1" >params.gmt
    for name in $(gm-show params.gmt | grep -oE '[0-9]+\.[a-zA-Z]+'); do gm_tensor params.gmt "$name"; done
}

# close_records WHOLE PARTS: gradients and losses of two streams of one record agree to rounding.
close_records() {
    gm_python - "$1" "$2" <<'P'
import io, msgpack, numpy as np, sys, zstandard
def record(path):
    d = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    return next(iter(msgpack.Unpacker(d, max_buffer_size=1 << 30)))
a, b = map(record, sys.argv[1:])
names = [n for n in a["tensors"] if n.startswith(("grad/", "stat/"))]
assert names and names == list(b["tensors"]), (names, list(b["tensors"]))
assert a["rows"] == b["rows"] and a["scalars"].keys() == b["scalars"].keys() and a["scalars"], (a["scalars"], b["scalars"])
for n in names:
    x, y = (np.frombuffer(r["tensors"][n]["data"], "<f4").astype(float) for r in (a, b))
    assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(x) + 1e-6, (n, x, y)
for n, v in a["scalars"].items():
    assert abs(v - b["scalars"][n]) <= 1e-6 * abs(v), (n, v, b["scalars"][n])
assert a["info"] == b["info"], (a["info"], b["info"])
P
}

# part SHARD STEPS: one part of the training of C.gm, up to its gradients.
part() {
    gm-batch -b 100 --shard "$1" --train C.gm -n "$2" -s 3 digits.csv | gm-grad -m C.gm --loss 'ce(x,y) + 1e-4*l2()'
}

# parts K STEPS: the training of C.gm by K processes. Without process numbers, wait would be for bats's own processes, too.
parts() {
    local i streams=() pids=()
    for ((i = 0; i < $1; i++)); do
        rm -f "$i.fifo"
        mkfifo "$i.fifo"
        streams+=("$i.fifo")
        part "$i/$1" "$2" >"$i.fifo" 3>&- &
        pids+=($!)
    done
    gm-reduce "${streams[@]}" | gm-step -m C.gm | gm-log -q -o run.csv
    wait "${pids[@]}"
}

init_classifier() {
    gm-init --force -o C.gm -s 1 --data digits.csv --label digit --scale range:-1,1 features dense:48:leaky dropout:0.2 \
        dense:classes:softmax >/dev/null
}

@test "the parts of each batch are the whole batch, in training and in one pass, of a fold too" {
    gm-init -o C.gm --data digits.csv --label digit features dense:1 >/dev/null
    for options in "--train C.gm -n 20 -s 5" "-m C.gm" "-m C.gm --fold 2/3 --hold-out"; do
        # shellcheck disable=SC2086
        gm-batch -b 101 $options digits.csv >whole.gmt
        for k in 0 1 2; do
            # shellcheck disable=SC2086
            gm-batch -b 101 --shard $k/3 $options digits.csv >$k.gmt
            gm-show --json $k.gmt | grep -o '"rows":[0-9]*' | head -n 2 >>rows
        done
        gm_python - <<'P'
import msgpack, numpy as np, zstandard
def records(path):
    d = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    return [r for r in msgpack.Unpacker(d, max_buffer_size=1 << 30) if "end" not in r]
def numbers(r, name):
    t = r["tensors"][name]
    return np.frombuffer(t["data"], t["type"]).reshape(t["shape"])
whole, parts = records("whole.gmt"), [records(f"{k}.gmt") for k in range(3)]
assert len(whole) > 5 and all(len(p) == len(whole) for p in parts)
for w, *p in zip(whole, *parts):
    rows = w["rows"]
    for i, r in enumerate(p):
        first = rows * i // 3
        assert r["rows"] == rows * (i + 1) // 3 - first
        assert {**r["info"]["part"], "batch": 0} == {"first": first, "rows": rows, "labelled": rows, "batch": 0}, r["info"]
        assert r.get("step") == w.get("step")
    batches = {r["info"]["part"].get("batch") for r in p}
    assert len(batches) == 1 and (None in batches) == ("step" not in w), batches
    for name in "x", "y":
        assert np.array_equal(np.concatenate([numbers(r, name) for r in p]), numbers(w, name))
P
    done
    # one part is the whole, to the byte
    gm-batch -b 101 digits.csv | cmp - <(gm-batch -b 101 --shard 0/1 digits.csv)
}

@test "--shard auto is the rank that MPI or Slurm says; without one, all" {
    parts_of() { env "$@" gm-batch -b 100 --shard auto digits.csv | gm-show --json | head -n 1 | grep -o '"part":{[^}]*}' || true; }
    gm_assert_equal "$(parts_of)" ""
    gm_assert_equal "$(parts_of SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=4)" '"part":{"first":25,"rows":100}'
    gm_assert_equal "$(parts_of SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4 PMI_RANK=1 PMI_SIZE=2)" '"part":{"first":50,"rows":100}'
    gm_assert_equal "$(parts_of PMI_RANK=1 PMI_SIZE=2 OMPI_COMM_WORLD_RANK=9 OMPI_COMM_WORLD_SIZE=10)" '"part":{"first":90,"rows":100}'
    gm_assert_equal "$(parts_of SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1)" ""
    # a batch script is no part of anything
    gm_assert_equal "$(parts_of SLURM_PROCID=0 SLURM_NTASKS=4)" ""
    gm_assert_equal "$(parts_of PMIX_RANK=1)" ""
    gm_assert_fails 1 "--shard: auto: PMI_RANK is set, PMI_SIZE is not" env PMI_RANK=1 gm-batch --shard auto digits.csv
    gm_assert_fails 1 "--shard: auto: SLURM_PROCID '4' and SLURM_STEP_NUM_TASKS '4' are no rank and size" \
        env SLURM_PROCID=4 SLURM_STEP_NUM_TASKS=4 gm-batch --shard auto digits.csv
    for text in 1 1/ /2 a/b 1/0 -1/2 0/99999999 1/2/3 01/1x; do
        gm_assert_fails 2 "--shard: " gm-batch --shard "$text" digits.csv
    done
    gm_assert_fails 2 "--shard: part '2/2': parts are numbered from 0 to 1" gm-batch --shard 2/2 digits.csv
    gm_assert_fails 1 "--shard: a batch of 3 rows has fewer rows than parts (4)" gm-batch -b 3 --shard 0/4 digits.csv
    head -n 12 digits.csv >few.csv
    gm_assert_fails 1 "--shard: the last batch: a batch of 1 rows has fewer rows than parts (2)" gm-batch -b 10 --shard 0/2 few.csv
}

@test "noise of a part is that of its rows in the whole batch, with steps and without" {
    gm-init -o C.gm --data digits.csv --label digit features dense:1 >/dev/null
    for options in "--train C.gm -n 5" "-m C.gm"; do
        # shellcheck disable=SC2086
        gm-batch -b 99 $options digits.csv | gm-noise --dim 3 | gm-noise --dim 1 -o u --dist uniform >whole.gmt
        for k in 0 1; do
            # shellcheck disable=SC2086
            gm-batch -b 99 --shard $k/2 $options digits.csv | gm-noise --dim 3 | gm-noise --dim 1 -o u --dist uniform >$k.gmt
        done
        for name in z u; do
            sort <(gm_tensor 0.gmt $name) <(gm_tensor 1.gmt $name) | cmp - <(gm_tensor whole.gmt $name | sort)
        done
    done
}

@test "weighted means of the parts' gradients are the whole batch's: dropout, penalties, latent and mixed layers, classes" {
    # rows without a class are not the same share of each part
    awk -F, -v OFS=, 'NR > 1 && NR % 7 < 3 { $NF = "" } { print }' iris.csv >some.csv
    gm-init -o D.gm -s 1 --data iris.csv --label species --scale standard features dense:16:tanh dropout:0.4 dense:1 >/dev/null
    gm-init -o P.gm -s 2 --data iris.csv --label species --scale standard pac:5:features dense:16:tanh dropout:0.4 dense:1 >/dev/null
    gm-init -o V.gm -s 3 --data iris.csv --label species --scale standard features dense:8:tanh dense:6 gaussian:3 dense:8:tanh dense:features >/dev/null
    gm-init -o M.gm -s 4 --data iris.csv --scale quantile 4 dense:8:leaky dense:features mixed:0.2:tanh >/dev/null
    gm-init -o S.gm -s 5 --data iris.csv --label species --scale standard features dense:16:tanh:spectral dense:classes:softmax >/dev/null
    gm-init -o C.gm -s 6 --data some.csv --label species --unlabelled --scale standard features dense:8:tanh dropout:0.1 dense:classes:softmax >/dev/null
    gm-init -o E.gm -s 7 --data iris.csv --scale quantile features dense:16:leaky dropout:0.4 dense:1:sigmoid >/dev/null
    batch() { gm-batch -b 125 ${shard:+--shard "$shard"} --train "$1" -n 1 "$2"; }
    fakes() { batch "$1" iris.csv | gm-noise -o fake --dim 4; }
    critic() { fakes D.gm | gm-grad -m D.gm --loss 'mean(fake) - mean(x) + 10*gp(x,fake) + 0.3*gp(fake,x) + 1e-3*l2()'; }
    packs() { fakes P.gm | gm-grad -m P.gm --loss 'bce(x,1) + bce(fake,0) + gp(x,fake)'; }
    latent() { batch V.gm iris.csv | gm-grad -m V.gm --loss 'gaussian(x,x) + kl(x)'; }
    mixed() { batch M.gm iris.csv | gm-noise --dim 4 | gm-grad -m M.gm --loss 'mse(z,x)'; }
    chain() {
        batch E.gm,M.gm iris.csv | gm-noise --dim 4 | gm-forward -m M.gm -i z -o fake |
            gm-grad -m E.gm --loss 'bce(x,1) + bce(fake,0)' | gm-grad -m E.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
            gm-grad -m M.gm -i z --upstream fake
    }
    spectral() { batch S.gm iris.csv | gm-grad -m S.gm --loss 'ce(x,y)'; }
    classes() { batch C.gm some.csv | gm-grad -m C.gm --loss 'ce(x,y) + known(x,1)' --class-weight setosa=3; }
    for what in critic packs latent mixed chain spectral classes; do
        shard='' "$what" >whole.gmt
        for k in 0 1 2 3 4; do shard=$k/5 "$what" >$k.gmt; done
        gm-reduce [0-4].gmt >sum.gmt
        close_records whole.gmt sum.gmt || { echo "$what"; return 1; }
        # a tree, and another order, differ by rounding alone
        gm-reduce 1.gmt 0.gmt >left.gmt
        gm-reduce 4.gmt 2.gmt 3.gmt | gm-reduce left.gmt - >tree.gmt
        close_records whole.gmt tree.gmt || { echo "$what, tree"; return 1; }
    done
}

@test "batchnorm takes the part's moments, and its running means are the whole batch's" {
    gm-init -o B.gm -s 1 --data iris.csv --label species features batchnorm dense:classes:softmax >/dev/null
    gm-batch -b 120 --train B.gm -n 1 iris.csv | gm-grad -m B.gm --loss 'ce(x,y)' >whole.gmt
    for k in 0 1 2; do gm-batch -b 120 --shard $k/3 --train B.gm -n 1 iris.csv | gm-grad -m B.gm --loss 'ce(x,y)' >$k.gmt; done
    gm-reduce [0-2].gmt >sum.gmt
    gm_tensor whole.gmt stat/B/0.mean >a
    gm_tensor sum.gmt stat/B/0.mean >b
    gm_assert_close a b 1e-5
    run -1 gm_assert_close "$(gm_scalar whole.gmt loss/B)" "$(gm_scalar sum.gmt loss/B)" 1e-6
}

@test "three processes train as one with the whole batch; again with the same bits, in gm-pipe too" {
    init_classifier
    cp C.gm first.gm
    gm-batch -b 100 --train C.gm -n 300 -s 3 digits.csv | gm-grad -m C.gm --loss 'ce(x,y) + 1e-4*l2()' | gm-step -m C.gm | gm-log -q
    numbers_of C.gm >whole
    cp first.gm C.gm
    parts 3 300
    cp C.gm once.gm
    numbers_of C.gm >sums
    gm_assert_equal "$(gm-show --step C.gm)" 300
    paste whole sums | awk '{ d += ($1 - $2) ^ 2; n += $1 ^ 2 } END { print sqrt(d / n); exit !(NR > 3000 && d <= 1e-10 * n) }'
    cp first.gm C.gm
    for k in 0 1 2; do part $k/3 300 >$k.fifo 3>&- & done
    gm-pipe 'gm-reduce 0.fifo 1.fifo 2.fifo | gm-step -m C.gm | gm-log -q'
    gm_same_model C.gm once.gm
}

@test "a GAN whose gradients are taken at one step: two parts as one process" {
    init() {
        gm-init --force -o G.gm -s 1 --data digits.csv --label digit --scale range:-1,1 20 dense:32:leaky dense:features:tanh >/dev/null
        gm-init --force -o D.gm -s 2 --data digits.csv --label digit --scale range:-1,1 features dense:32:leaky dropout:0.2 dense:1:sigmoid >/dev/null
    }
    gradients() {
        gm-batch -b 65 "$@" --train G.gm,D.gm -n 100 digits.csv | gm-noise --dim 20 | gm-forward -m G.gm -i z -o fake |
            gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)' |
            gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad | gm-grad -m G.gm -i z --upstream fake
    }
    init
    gradients | gm-step -m D.gm | gm-step -m G.gm | gm-log -q
    numbers_of G.gm >whole
    init
    mkfifo a b
    gradients --shard 0/2 >a 3>&- &
    gradients --shard 1/2 >b 3>&- &
    gm-reduce a b | gm-step -m D.gm | gm-step -m G.gm | gm-log -q
    numbers_of G.gm >sums
    paste whole sums | awk '{ d += ($1 - $2) ^ 2; n += $1 ^ 2 } END { print sqrt(d / n); exit !(NR > 2000 && d <= 1e-10 * n) }'
}

@test "a part that is killed ends all; the same command goes on, to the same bits" {
    init_classifier
    cp C.gm first.gm
    parts 2 200
    cp C.gm wanted.gm
    cp first.gm C.gm
    part 0/2 200 >0.fifo 2>/dev/null 3>&- &
    (part 1/2 200 | dd bs=4096 iflag=count_bytes count=300000 >1.fifo) 2>/dev/null 3>&- &
    status=0
    (set -o pipefail; gm-reduce 0.fifo 1.fifo 2>said | gm-step -m C.gm 2>/dev/null | gm-log -q 2>/dev/null) || status=$?
    [ "$status" -ne 0 ]
    grep -qE '^gm-reduce: 1.fifo: stream cut off in record [0-9]+' said
    gm_assert_equal "$(wc -l <said)" 1
    step=$(gm-show --step C.gm)
    [ "$step" -gt 0 ] && [ "$step" -lt 200 ]
    parts 2 200
    gm_same_model C.gm wanted.gm
}

@test "gm-step refuses the gradients of a part, and of less than all parts" {
    init_classifier
    for k in 0 1 2; do part $k/3 1 >$k.gmt; done
    said="record 0: gradients of C are of 33 rows of a batch of 100 (--shard)"
    gm_assert_fails 1 "$said" bash -c 'gm-step -m C.gm <0.gmt'
    gm-reduce 0.gmt 1.gmt >two.gmt
    gm-show --json two.gmt | grep -qE '"summed":\{"C":66\},"part":\{"first":0,"rows":100,"labelled":100,"batch":-?[0-9]+\}\}\}'
    gm_assert_fails 1 "gradients of C are of 66 rows of a batch of 100" bash -c 'gm-step -m C.gm <two.gmt'
    gm-reduce two.gmt 2.gmt >all.gmt
    gm-show --json all.gmt | grep -q '"rows":100,.*"info":{"total":1,"grads":{"C":0},"blas":"[^"]*"}}'
    gm-step -m C.gm <all.gmt >/dev/null
    gm_assert_equal "$(gm-show --step C.gm)" 1
}

@test "gm-reduce refuses what does not belong together: one line, the stream and the record" {
    one() { echo "{'step': $1, 'rows': 2, 'tensors': {'grad/A/0.W': [[1, 2]], 'grad/B/0.W': [[3]], 'x': [[5], [6]]}, 'scalars': {'loss/A': 1, 'loss/B': 5, 'lr/A': 0.5}, 'info': {$2}}"; }
    grads="'grads': {'A': 7, 'B': 7}, 'blas': 'one', 'total': 9"
    one 7 "$grads" | write_stream a
    fails() { gm_assert_fails 1 "$1" gm-reduce "${@:2}"; }
    one 8 "$grads" | write_stream b
    fails "gm-reduce: b: record 0: the record is of step 8, that of a of step 7" a b
    one 7 "'grads': {'A': 6, 'B': 7}, 'blas': 'one', 'total': 9" | write_stream b
    fails "b: record 0: gradients of A were computed at step 6, those of a at step 7" a b
    one 7 "'grads': {'A': 7, 'B': 7}, 'blas': 'one', 'total': 8" | write_stream b
    fails "b: record 0: info.total is 8, that of a is 9" a b
    one 7 "'grads': {'A': 7, 'B': 7}, 'blas': 'two', 'total': 9" | write_stream b
    fails "b: record 0: the gradients are of two, those of a of one, which gives other bits: --allow-drift" a b
    gm-reduce --allow-drift a b | gm-show --json | grep -q '"blas":"one"'
    one 7 "$grads" | sed 's/\[\[1, 2\]\]/[[1], [2]]/' | write_stream b
    fails "b: record 0: not as in a: tensor 'grad/A/0.W': expected 1×2, got 2×1" a b
    one 7 "$grads" | sed "s/'grad.B.0.W': ..3..,//" | write_stream b
    fails "b: record 0: not as in a: tensor 'grad/B/0.W' is missing" a b
    one 7 "$grads" | sed "s/, 'loss.B': 5//" | write_stream b
    fails "b: record 0: not as in a: scalar 'loss/B' is missing" a b
    one 7 "$grads" | sed 's/1, 2/1, float("nan")/' | write_stream b
    fails "b: record 0: tensor 'grad/A/0.W' is not finite at index 1" a b
    one 7 "$grads" | sed 's/1, 2/1, 3e38/' | write_stream b
    fails "b: record 0: tensor 'grad/A/0.W': the sum over rows is not finite at index 1" a b
    one 7 "$grads" | sed "s/'rows': 2/'rows': 0/" | write_stream b
    fails "b: record 0: gradients of 0 rows have no weight" a b
    one 7 "$grads" | sed "s/\[\[3\]\]/numpy.array([[3]], '<f8')/" | write_stream b
    fails "b: record 0: tensor 'grad/B/0.W': expected <f4, got <f8" a b
    { one 7 "$grads"; one 8 "$grads"; } | write_stream b
    fails "a ended behind 1 records, and b goes on" a b
    fails "a ended behind 1 records, and b goes on" b a
    head -c 100 b >cut
    fails "cut: stream cut off in record 0" a cut
    fails "none: cannot open" a none
    gm_assert_fails 2 "'a' is named twice" gm-reduce a a
    gm_assert_fails 2 "no STREAM to read" gm-reduce
    # parts
    place() { one 7 "$grads, 'part': {'first': $1, 'rows': $2}"; }
    place 0 4 | write_stream a
    place 0 4 | write_stream b
    fails "b: record 0: rows of the batch that a has, too: which --shard is it?" a b
    place 1 4 | write_stream b
    fails "b: record 0: rows of the batch that a has, too" a b
    place 2 5 | write_stream b
    fails "b: record 0: not a part of the same batch as in a (info.part)" a b
    one 7 "$grads, 'part': {'first': 2, 'rows': 4, 'batch': 5}" | write_stream b
    fails "b: record 0: not a part of the same batch as in a (info.part)" a b
    place 0 9 | write_stream a
    place 4 9 | write_stream b
    fails "record 0: between the parts rows of the batch are missing" a b
    one 7 "$grads" | write_stream b
    fails "b: record 0: not a part of the same batch as in a (info.part)" a b
}

@test "gm-reduce: the sum is weighted by rows, -m takes some models, what is no gradient is left out" {
    record() { echo "{'step': 7, 'rows': $1, 'tensors': {'x': [[0]] * $1, 'grad/A/0.W': [$2], 'stat/A/1.mean': [$2], 'grad/AB/0.W': [$2]}, 'scalars': {'loss/A': $2, 'loss/AB': 1, 'lr/A': 0.5, 'other': $2}, 'info': {'grads': {'A': 7}, 'a': 1, 'b': $2, 'stepped': {'C': 8}}}"; }
    record 1 8 | write_stream a
    record 3 4 | write_stream b
    gm-reduce a b >sum
    gm_assert_equal "$(gm_tensor sum grad/A/0.W) $(gm_tensor sum stat/A/1.mean) $(gm_tensor sum grad/AB/0.W)" "5 5 5"
    run -1 grep -q '"x"' <(gm-show --json sum)
    gm-show --json sum | grep -q '"step":7,"rows":4,"tensors":{"grad/A/0.W":.*"scalars":{"loss/A":5,"loss/AB":1,"lr/A":0.5},"info":{"grads":{"A":7},"a":1,"stepped":{"C":8}}}' ||
        { gm-show --json sum; return 1; }
    gm-reduce -m A a b | gm-show --json | grep -q '"tensors":{"grad/A/0.W":.*"stat/A/1.mean":[^}]*}},"scalars":{"loss/A":5,"lr/A":0.5}'
    # one stream keeps its bits; standard input is a stream as any
    gm-reduce - <b | gm_tensor /dev/stdin grad/A/0.W | grep -qx 4
    # records without gradients pass: gm-grad --every leaves such ones
    gm-reduce -m C a b | gm-show --json | grep -q '"rows":4,"tensors":{},'
}

@test "an absurd info.part is refused by each tool that needs it, in one line" {
    gm-init -o D.gm 1 dense:1 >/dev/null
    refused() { # PART MESSAGE
        echo "{'step': 0, 'rows': 2, 'tensors': {'x': [[0], [1]], 'grad/D/0.W': [[1]], 'grad/D/0.b': [1]}, 'info': {'part': $1}}" | write_stream bad
        for command in "gm-noise --dim 1" "gm-forward -m D.gm" "gm-grad -m D.gm --loss mse(x,1)" "gm-step -m D.gm"; do
            # shellcheck disable=SC2086
            run -1 --separate-stderr $command <bad
            # shellcheck disable=SC2154
            gm_assert_equal "$stderr" "${command%% *}: record 0: $2"
        done
        gm_assert_fails 1 "bad: record 0: $2" gm-reduce bad
    }
    whole="info.part: 'first' and 'rows' must be whole numbers from 0 to 2147483647"
    for part in 7 "[0, 4]" "{}" "{'first': 0}" "{'first': -1, 'rows': 4}" "{'first': 0, 'rows': 4.0}" \
        "{'first': 2**63, 'rows': 4}" "{'first': 0, 'rows': 2**31}" "{'first': '0', 'rows': 4}"; do refused "$part" "$whole"; done
    refused "{'first': 3, 'rows': 4}" "info.part: 2 rows from row 3 on do not fit in a batch of 4"
    refused "{'first': 2147483647, 'rows': 2147483647}" "info.part: 2 rows from row 2147483647 on do not fit in a batch of 2147483647"
    refused "{'first': 0, 'rows': 1}" "info.part: 2 rows from row 0 on do not fit in a batch of 1"
    refused "{'first': 0, 'rows': 4, 'labelled': 5}" "info.part: 'labelled' must be a whole number from 0 to 4"
}

@test "parts that cut a pack, and unlabelled rows of another tensor than y, are refused" {
    gm-init -o P.gm --data iris.csv --label species pac:3:features dense:1 >/dev/null
    gm_assert_fails 1 "P.gm judges packs of 3 rows, and a part from row 50 of 100 on cuts one" bash -o pipefail -c \
        'gm-batch -b 100 --shard 1/2 --train P.gm -n 1 iris.csv 2>/dev/null | gm-grad -m P.gm --loss "bce(x,1)"'
    gm-init -o C.gm 1 dense:2:softmax >/dev/null
    echo "{'step': 0, 'rows': 2, 'tensors': {'x': [[0], [1]], 'c': numpy.array([1, -1], '<i4')}, 'info': {'part': {'first': 0, 'rows': 4}}}" | write_stream some
    gm_assert_fails 1 "record 0: tensor 'c': row 1 has no class, and info.part does not say how many rows of the whole batch have one" \
        bash -c 'gm-grad -m C.gm --loss "ce(x,c)" <some'
}
