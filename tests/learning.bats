#!/usr/bin/env bats
# What shapes learning: schedules, class weights, averaged weights, random Fourier features.
bats_require_minimum_version 1.5.0
load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/{iris,wine}.csv .
}

iris() { # MODEL OPTION... : a linear classifier of iris
    gm-init --force -o "$1" -s 3 --data iris.csv --label species --optimizer sgd:lr=0.1 "${@:2}" features dense:classes:softmax >/dev/null
}

@test "a schedule multiplies the rate, step by step, and a run that is resumed follows it" {
    iris a.gm
    gm-batch --train a.gm -b 30 -n 40 iris.csv | gm-grad -m a.gm --loss 'ce(x,y)' |
        gm-step -m a.gm --schedule warmup:4,cosine:40,step:20:0.1 | gm-log -q -o a.csv
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "lr/a") c = i; next }
        { k = $1; w = k < 4 ? (k + 1) / 4 : 1; f = k < 20 ? 1 : 0.1; print $c, 0.1 * w * f * (1 + cos(3.14159265358979 * k / 40)) / 2 }' a.csv >rates
    gm_assert_equal "$(wc -l <rates)" 40
    cut -d' ' -f1 rates >got && cut -d' ' -f2 rates >wanted
    gm_assert_close got wanted 1e-5
    iris b.gm --name a
    for n in 7 19 40; do
        gm-batch --train b.gm -b 30 -n $n iris.csv | gm-grad -m b.gm --loss 'ce(x,y)' |
            gm-step -m b.gm --schedule warmup:4,cosine:40,step:20:0.1 | gm-log -q
    done
    gm_same_model a.gm b.gm
    iris c.gm --name a
    gm-batch --train c.gm -b 30 -n 40 iris.csv | gm-grad -m c.gm --loss 'ce(x,y)' | gm-step -m c.gm | gm-log -q
    run -1 gm_same_model a.gm c.gm
}

@test "--until: parts of a run, with the schedule of the whole" {
    iris a.gm
    train() { gm-batch --train "$1" -b 30 "${@:2}" iris.csv | gm-grad -m "$1" --loss 'ce(x,y)' | gm-step -m "$1" --schedule cosine | gm-log -q; }
    train a.gm -e 8
    iris b.gm --name a
    for until in 1 2 5 7 9; do
        train b.gm -e 8 --until $until
        gm_assert_equal "$(gm-show --step b.gm)" $((5 * (until < 8 ? until : 8)))
    done
    gm_same_model a.gm b.gm
    iris c.gm --name a
    train c.gm -n 40 --until 11
    gm_assert_equal "$(gm-show --step c.gm)" 11
    train c.gm -n 40
    gm_same_model a.gm c.gm
    gm_assert_fails 2 "--until goes with --train" gm-batch -m a.gm --until 3 iris.csv
    iris d.gm
    gm-batch --train d.gm -n 1 -b 30 iris.csv | gm_python -c '
import sys, msgpack, zstandard
for r in msgpack.Unpacker(zstandard.ZstdDecompressor().stream_reader(sys.stdin.buffer, read_across_frames=True)):
    r.pop("info", None)
    sys.stdout.buffer.write(msgpack.packb(r))' | gm-grad -m d.gm --loss 'ce(x,y)' >silent.gmt
    gm_assert_fails 1 "does not say how many steps the run has" bash -c 'gm-step -m d.gm --schedule cosine <silent.gmt'
}

@test "class weights are what repeating rows would be" {
    # all versicolor twice: as rows, and as a weight (the mean is over 150 rows, not 200)
    { cat iris.csv; grep versicolor iris.csv; } >twice.csv
    iris m.gm
    gm-batch -m m.gm -b 500 twice.csv | gm-grad -m m.gm --loss 'ce(x,y)' >twice.gmt
    gm-batch -m m.gm -b 500 iris.csv | gm-grad -m m.gm --loss 'ce(x,y)' --class-weight versicolor=2 >weight.gmt
    gm_tensor twice.gmt grad/m/0.W | awk '{ printf "%.9g\n", $1 * 200 / 150 }' >a
    gm_tensor weight.gmt grad/m/0.W >b
    gm_assert_close a b 1e-5 1e-6
    # balanced on balanced classes changes nothing, on others it is rows / (classes * rows of the class)
    gm-batch -m m.gm -b 500 iris.csv | gm-grad -m m.gm --loss 'ce(x,y)' >plain.gmt
    gm-batch -m m.gm -b 500 iris.csv | gm-grad -m m.gm --loss 'ce(x,y)' --class-weight balanced >balanced.gmt
    gm_assert_close "$(gm_scalar plain.gmt loss/m)" "$(gm_scalar balanced.gmt loss/m)"
    gm-init -o w.gm --data wine.csv --label cultivar features dense:classes >/dev/null
    for weight in balanced "A=$(awk 'BEGIN{printf "%.9g", 178/3/59}'),B=$(awk 'BEGIN{printf "%.9g", 178/3/71}'),C=$(awk 'BEGIN{printf "%.9g", 178/3/48}')"; do
        gm-batch -m w.gm -b 500 wine.csv | gm-grad -m w.gm --loss 'sqhinge(x,y)' --class-weight "$weight" | gm_scalar /dev/stdin loss/w
    done >losses
    gm_assert_close "$(head -1 losses)" "$(tail -1 losses)" 1e-6
    gm_assert_fails 2 "the model has no class 'setossa'" gm-grad -m m.gm --loss 'ce(x,y)' --class-weight setossa=2
    gm_assert_fails 2 "'setosa' is neither 'balanced' nor CLASS=WEIGHT" gm-grad -m m.gm --loss 'ce(x,y)' --class-weight setosa
    gm_assert_fails 2 "class 'setosa' is named twice" gm-grad -m m.gm --loss 'ce(x,y)' --class-weight setosa=2,virginica=1,setosa=3
    gm-init -o n.gm 4 dense:3 >/dev/null
    gm_assert_fails 2 "class '02' is named twice" gm-grad -m n.gm --loss 'hinge(x,y)' --class-weight 2=2,02=2
    gm_assert_fails 2 "no term of the loss is of classes" gm-grad -m m.gm --loss 'mse(x,1)' --class-weight balanced
}

@test "averaged weights: the mean of the parameters after each update, used by gm-classify" {
    iris a.gm --optimizer sgd:lr=0.5,average=11
    mkdir saved
    for n in $(seq 20); do
        gm-batch --train a.gm -b 10 -n "$n" iris.csv | gm-grad -m a.gm --loss 'ce(x,y)' | gm-step -m a.gm | gm-log -q
        gm-save a.gm >"saved/$n"
        gm_tensor "saved/$n" 0.W >"saved/$n.W"
    done
    gm_tensor saved/20 0.W/a >average
    paste -d' ' saved/{11..20}.W | awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i; print s / NF }' >mean
    gm_assert_close mean average 1e-5 1e-6
    gm_tensor saved/5 0.W/a >early
    cmp early saved/5.W
    # a model whose parameters are that average predicts the same
    gm-init -o b.gm --data iris.csv --label species --optimizer sgd features dense:classes:softmax >/dev/null
    gm-save --params a.gm >plain.gmt
    gm_python - <<'PY'
import msgpack, zstandard
def records(path):
    return list(msgpack.Unpacker(zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True), max_buffer_size=0))
whole, plain = records("saved/20")[0], records("plain.gmt")
for name in ("0.W", "0.b"):
    assert plain[0]["tensors"][name]["data"] == whole["tensors"][name + "/a"]["data"] != whole["tensors"][name]["data"]
plain[0]["info"]["model"]["optimizer"] = "sgd:lr=0.5"
def write(path):
    open(path, "wb").write(b"".join(map(msgpack.packb, plain)))
write("mean.gmt")
for name in ("0.W", "0.b"):
    plain[0]["tensors"][name]["data"] = whole["tensors"][name]["data"]
write("last.gmt")
PY
    gm-init --force -o b.gm --from plain.gmt >/dev/null
    cmp <(gm-classify -m a.gm --proba iris.csv) <(gm-classify -m b.gm --proba iris.csv)
    gm-init --force -o b.gm --from mean.gmt >/dev/null
    cmp <(gm-classify -m a.gm --proba iris.csv) <(gm-classify -m b.gm --proba iris.csv)
    # and one with the last parameters otherwise
    gm-init --force -o c.gm --from last.gmt >/dev/null
    run -1 cmp -s <(gm-classify -m a.gm --proba iris.csv) <(gm-classify -m c.gm --proba iris.csv)
    # an interrupted and restored run has the same average
    gm-init --force -o d.gm --from saved/13 >/dev/null
    gm-batch --train d.gm -b 10 -n 20 iris.csv | gm-grad -m d.gm --loss 'ce(x,y)' | gm-step -m d.gm | gm-log -q
    gm_same_model a.gm d.gm
}

@test "rff: scalar products of the features are about the RBF kernel" {
    gm-init -o k.gm -s 5 4 rff:4096:0.25 dense:1 >/dev/null
    gm-noise -n 40 -b 40 --dim 4 -o x >x.gmt
    # the linear layer's weight gradient at d out = e_i is the feature vector of row i, mean over the rows
    gm_python - k.gm <<'PY'
import subprocess, msgpack, zstandard, numpy as np, sys
def run(line, data):
    return subprocess.run(line, shell=True, input=data, stdout=subprocess.PIPE, check=True).stdout
def records(data):
    return list(msgpack.Unpacker(zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True), max_buffer_size=0))
def array(t):
    return np.frombuffer(t["data"], t["type"]).reshape(t["shape"])
x = array(records(open("x.gmt", "rb").read())[0]["tensors"]["x"])
def tensor(a):
    return {"nd": True, "type": "<f4", "shape": list(a.shape), "data": a.tobytes()}
stream = b""
for i in range(len(x)):
    stream += msgpack.packb({"gm": 1, "rows": 1, "tensors": {"x": tensor(x[i:i+1]), "d/out": tensor(np.ones((1, 1), "<f4"))}})
stream += msgpack.packb({"gm": 1, "end": True, "records": len(x)})
out = records(run("gm-grad -m k.gm --upstream out", stream))
z = np.array([array(r["tensors"]["grad/k/1.W"])[:, 0] for r in out[:-1]], dtype=np.float64)
gram, kernel = z @ z.T, np.exp(-0.25 * ((x[:, None] - x[None]) ** 2).sum(2))
error = np.abs(gram - kernel).max()
print("largest error", error)
assert z.shape == (40, 4096) and error < 0.08 and np.abs(gram - kernel).mean() < 0.02, error
PY
    gm-show k.gm | grep -q "rff"
    # batches of more rows than one piece of work: as small batches, and with two threads the same bits
    for b in 600 100; do gm-noise -n 600 -b $b --dim 4 -o x | gm-forward -m k.gm >"out$b.gmt" && gm_tensor "out$b.gmt" out >"out$b"; done
    gm_assert_close out600 out100 1e-4 1e-5
    for j in 1 2; do
        gm-init -o "j$j.gm" --name J 4 dense:8:tanh rff:300:0.25 dropout:0.2 dense:1 >/dev/null
        gm-noise -n 1800 -b 600 --dim 4 -o x | gm-batch -b 600 --train "j$j.gm" -n 6 - |
            gm-pipe -j "$j" "gm-grad -m j$j.gm --loss 'mse(x,1)' | gm-step -m j$j.gm | gm-log -q"
    done
    gm_same_model j1.gm j2.gm
    # scale: 1 / (features * variance); standard scaling has the variance 1
    gm-init -o s.gm --data iris.csv --label species features rff:8:scale dense:classes >/dev/null
    gm-show s.gm | grep -q "rff gamma 0.25 "
    gm-init --force -o s.gm --data iris.csv --label species --scale none features rff:8:2*scale dense:classes >/dev/null
    wanted=$(awk -F, 'NR > 1 { for (i = 1; i <= 4; i++) { n++; s += $i; q += $i * $i } } END { printf "%.4g", 2 / (4 * (q / n - (s / n) ^ 2)) }' iris.csv)
    gm-show s.gm | grep -q "rff gamma $wanted "
    gm_assert_fails 2 "the data are read twice" bash -c 'gm-init -o n.gm --data - features rff:8:scale dense:2 <iris.csv'
    gm_assert_fails 2 "layer 'rff:9:scale': 'scale' is not known without data that vary" gm-init -o n.gm 4 rff:9:scale dense:1
}
