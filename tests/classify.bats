# gm-classify: answers, figures, calibration, records; figures are computed again in NumPy.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/*.csv .
}

# train MODEL LOSS EPOCHS FILE
train() { gm-batch -b 20 --train "$1" -e "$3" "$4" | gm-grad -m "$1" --loss "$2" | gm-step -m "$1" | gm-log -q; }

wine() { # LAYERS...: a model wine.gm
    gm-init -o wine.gm -s 1 --data wine.csv --label cultivar features "$@" >/dev/null
}

two_irises() { # LAYER: a model two.gm of two classes that do not quite separate
    { head -1 iris.csv; grep -E 'versicolor|virginica' iris.csv; } | cut -d, -f1,2,5 >two.csv
    gm-init -o two.gm -s 1 --data two.csv --label species features "$1" >/dev/null
}

figure() { awk -v name="$1" '$1 == name { print $2 }' "${2:-figures}"; }

# judge.py LABELS PROBA: all figures from the answers of --proba
judge() {
    gm_python - "$@" <<'P'
import csv, sys
import numpy as np
data, answers, label = sys.argv[1:4]
rows = list(csv.DictReader(open(data)))
table = list(csv.reader(open(answers)))
classes = [c[2:] for c in table[0][1:]]
p = np.array([[float(v) for v in r[1:]] for r in table[1:]])
y = np.array([classes.index(r[label]) for r in rows])
said = np.array([classes.index(r[0]) for r in table[1:]])
assert (said == p.argmax(1)).all()  # numpy takes the first of equal ones too
n, k = p.shape
onehot = np.eye(k)[y]
auc = []
for c in range(1, 2) if k == 2 else range(k):
    a, b = p[y == c, c][:, None], p[y != c, c][None, :]
    auc.append(((a > b) + 0.5 * (a == b)).mean())
recall = [(said[y == c] == c).mean() for c in range(k)]
precision = [(y[said == c] == c).mean() if (said == c).any() else 0 for c in range(k)]
f1 = [2 * u * v / (u + v) if u + v else 0 for u, v in zip(precision, recall)]
brier = ((p - onehot) ** 2).sum(1).mean() / (2 if k == 2 else 1)
out = {"rows": n, "accuracy": (said == y).mean(), "balanced_accuracy": np.mean(recall),
       "log_loss": -np.log(p[np.arange(n), y]).mean(), "brier": brier, "auc": np.mean(auc), "macro_f1": np.mean(f1)}
for c in range(k):
    out["precision_" + classes[c]], out["recall_" + classes[c]] = precision[c], recall[c]
for name, value in out.items():
    print(name, "%d" % value if name == "rows" else "%.4f" % value)
P
}

check_figures() { # MODEL FILE LABEL: --eval says what NumPy computes from --proba, to the fourth digit
    gm-classify -m "$1" --eval "$2" >figures
    gm-classify -m "$1" --proba "$2" >proba.csv
    judge "$2" proba.csv "$3" >theirs
    cmp <(cut -d' ' -f1 figures) <(cut -d' ' -f1 theirs)
    cut -d' ' -f2 figures >ours.n
    cut -d' ' -f2 theirs >theirs.n
    gm_assert_close ours.n theirs.n 0 0.00011
}

@test "--eval: the figures are NumPy's, for many classes and for two" {
    wine dense:8:tanh dense:classes:softmax
    train wine.gm 'ce(x,y)' 6 wine.csv
    check_figures wine.gm wine.csv cultivar
    two_irises dense:1:sigmoid
    train two.gm 'bce(x,y)' 20 two.csv
    check_figures two.gm two.csv species
    gm-init -o both.gm -s 3 --data two.csv --label species features dense:classes:softmax >/dev/null
    train both.gm 'ce(x,y)' 20 two.csv
    check_figures both.gm two.csv species
}

@test "--eval --json has the same figures, --confusion the counts" {
    wine dense:classes:softmax
    train wine.gm 'ce(x,y)' 2 wine.csv
    gm-classify -m wine.gm --eval --confusion wine.csv >figures
    gm-classify -m wine.gm --eval --confusion --json wine.csv >figures.json
    gm-classify -m wine.gm wine.csv | tail -n +2 | cut -d, -f1 >said
    tail -n +2 wine.csv | cut -d, -f14 | paste - said | sort | uniq -c | awk '{ print $2 $3, $1 }' >pairs
    gm_python - <<'P'
import json
f = json.load(open("figures.json"))
lines = [l.split() for l in open("figures")]
for name, value in (l for l in lines if len(l) == 2):
    for kind in ("precision", "recall"):
        if name.startswith(kind + "_"):
            assert abs(f[kind][name[len(kind) + 1:]] - float(value)) < 6e-5, name
            break
    else:
        assert abs(f[name] - float(value)) < 6e-5, name
assert f["classes"] == ["A", "B", "C"] and "confusion" in f
pairs = dict(l.split() for l in open("pairs"))
for i, a in enumerate("ABC"):
    for k, b in enumerate("ABC"):
        assert f["confusion"][i][k] == int(pairs.get(a + b, 0))
matrix = [l for l in lines if len(l) == 4 and l[0] in "ABC"]
assert [[int(n) for n in l[1:]] for l in matrix] == f["confusion"]
P
    gm-classify -m wine.gm --eval wine.csv >plain
    run -1 grep -q confusion plain
}

@test "names of classes: two words a line, no two alike; no control characters; JSON is JSON" {
    printf 'a,c\n1,a b\n2,a_b\n3,a_b_0\n4,e\033[1m\n5,\xc3\xa9\n6,z\xff\xc3\n7,z\xed\xa0\x80\n8,\xf0\x9f\x98\x80\n' >odd.csv
    gm-init -o odd.gm --data odd.csv --label c features dense:classes:softmax >made
    gm_assert_equal "$(tr -d '\n' <made | tr -cd '\000-\037\177')" ""
    grep -q 'e?\[1m 1' made
    gm-classify -m odd.gm --eval --confusion odd.csv >figures
    gm_assert_equal "$(grep -c '^precision_' figures)" 8
    gm_assert_equal "$(awk '/^(precision|recall)_/ { print $1 }' figures | sort -u | wc -l)" 16
    awk '/^confusion/ { exit } NF != 2 { exit 1 }' figures
    grep -q '^precision_a_b_0 ' figures
    grep -q '^precision_a_b_0_0 ' figures
    grep -q '^precision_e?\[1m ' figures
    gm_assert_equal "$(tr -d '\n' <figures | tr -cd '\000-\037\177')" ""
    gm-classify -m odd.gm --eval --json odd.csv >odd.json
    gm-show --json odd.gm >shown.json
    gm_python - <<'P'
import json
wanted = ["a b", "a_b", "a_b_0", "e\033[1m", "z\ufffd\ufffd", "z\ufffd\ufffd\ufffd", "\u00e9", "\U0001f600"]
text = open("odd.json", "rb").read().decode("utf-8", "strict")
assert sorted(json.loads(text)["classes"]) == sorted(wanted), json.loads(text)["classes"]
shown = open("shown.json", "rb").read().decode("utf-8", "strict")
assert "a_b_0" in shown and json.loads(shown)
P
}

@test "--fold and --hold-out are the two parts of the rows" {
    wine dense:classes:softmax
    gm-classify -m wine.gm --eval --fold 2/5 wine.csv >fold
    gm-classify -m wine.gm --eval --fold 2/5 --hold-out wine.csv >rest
    gm_assert_equal $(($(figure rows fold) + $(figure rows rest))) 178
    gm_assert_equal "$(for i in 1 2 3 4 5; do gm-classify -m wine.gm --fold $i/5 wine.csv | tail -n +2; done | sort | md5sum)" \
        "$(gm-classify -m wine.gm wine.csv | tail -n +2 | sort | md5sum)"
    run -1 cmp -s fold <(gm-classify -m wine.gm --eval --fold 2/5:7 wine.csv)
    gm_assert_fails 2 "no fold" gm-classify -m wine.gm --fold 5 wine.csv
    gm_assert_fails 2 "--hold-out goes with --fold" gm-classify -m wine.gm --hold-out wine.csv
}

@test "--eval and --calibrate note rows that the model was trained on" {
    gm-init -o held.gm -s 1 --data wine.csv --label cultivar --fold 1/3:5 --hold-out features dense:classes >/dev/null
    gm-batch -b 20 --fold 1/3:5 --hold-out --train held.gm -e 20 wine.csv | gm-grad -m held.gm --loss 'hinge(x,y)' | gm-step -m held.gm | gm-log -q
    mkdir sub
    cp wine.csv sub/wine.csv
    cp wine.csv test.csv
    for way in --eval --calibrate; do
        for words in wine.csv sub/wine.csv '--fold 2/3:5 wine.csv' '--fold 1/3 wine.csv' '--fold 1/3:5 --hold-out wine.csv' 'test.csv wine.csv'; do
            # shellcheck disable=SC2086
            gm-classify -m held.gm $way $words 2>said >figures
            gm_assert_equal "$(wc -l <said)" 1
            grep -q "held.gm was made with fold 1/3:5 held out, and these rows are not only of it: .*--fold 1/3:5 takes those" said
            grep -q '^rows ' figures
        done
        for words in '--fold 1/3:5 wine.csv' test.csv -; do
            # shellcheck disable=SC2086
            gm-classify -m held.gm $way $words <wine.csv 2>said >figures
            gm_assert_equal "$(cat said)" ""
        done
    done
    gm-classify -m held.gm wine.csv 2>said >answers
    gm_assert_equal "$(cat said)" ""
    wine dense:classes
    gm-classify -m wine.gm --eval wine.csv 2>said >figures
    gm_assert_equal "$(cat said)" ""
}

@test "options that do not go together, or not with the model" {
    wine dense:classes:softmax
    for words in '--proba --eval' '--scores --proba' '--eval --calibrate' '-o c --eval'; do
        # shellcheck disable=SC2086
        gm_assert_fails 2 "exclude each other" gm-classify -m wine.gm $words
    done
    gm_assert_fails 2 "go with --eval" gm-classify -m wine.gm --json wine.csv
    gm_assert_fails 2 "go with --eval" gm-classify -m wine.gm --confusion wine.csv
    gm_assert_fails 2 "--id is for answers" gm-classify -m wine.gm --eval --id ash wine.csv
    gm_assert_fails 2 "'y' has the true classes" gm-classify -m wine.gm -o y
    gm_assert_fails 2 "no FILE" gm-classify -m wine.gm -o c wine.csv
    gm_assert_fails 2 "go with -o" gm-classify -m wine.gm --frozen wine.csv
    gm_assert_fails 2 "probabilities already" gm-classify -m wine.gm --calibrate wine.csv
    gm_assert_fails 1 "no column 'ashe' (did you mean 'ash'?)" gm-classify -m wine.gm --id ashe wine.csv
}

# the label is the class of the largest printed number, the first of equal ones
agrees() { # MODEL FILE
    gm-classify -m "$1" --proba "$2" >proba.csv
    awk -F, 'NR == 1 { for (i = 2; i <= NF; i++) name[i] = substr($i, 3); next }
        { best = 2; sum = 0
          for (i = 2; i <= NF; i++) { sum += $i; if ($i + 0 > $best + 0) best = i }
          if ($1 != name[best] || sum < 0.99999 || sum > 1.00001) { print FILENAME ":" NR ": " $0; exit 1 } }' proba.csv
    # and the one probability is that one
    gm-classify -m "$1" "$2" | cmp - <(awk -F, 'NR == 1 { print $1 ",probability"; next }
        { best = 2; for (i = 2; i <= NF; i++) if ($i + 0 > $best + 0) best = i; print $1 "," $best }' proba.csv)
}

@test "label and probability never contradict each other" {
    wine dense:classes:softmax
    agrees wine.gm wine.csv
    two_irises dense:1:sigmoid
    agrees two.gm two.csv
    train two.gm 'bce(x,y)' 200 two.csv
    agrees two.gm two.csv
    # exactly one half everywhere, and next to it
    gm-init -o half.gm --init normal:1e-30 --data two.csv --label species features dense:1:sigmoid >/dev/null
    gm_assert_equal "$(gm-classify -m half.gm --proba two.csv | tail -n +2 | sort -u)" "versicolor,0.5,0.5"
    gm-init -o near.gm --init normal:1e-7 --data two.csv --label species features dense:1:sigmoid >/dev/null
    agrees near.gm two.csv
    gm_assert_equal "$(tail -n +2 proba.csv | cut -d, -f1 | sort -u | wc -l)" 2
    gm-init -o even.gm --init normal:1e-8 --data wine.csv --label cultivar features dense:classes:softmax >/dev/null
    agrees even.gm wine.csv
}

@test "scores have no probabilities before they are calibrated" {
    wine dense:classes
    gm_assert_fails 2 "--calibrate makes them so" gm-classify -m wine.gm --proba wine.csv
    gm_assert_equal "$(gm-classify -m wine.gm wine.csv | head -1)" "cultivar,score"
    gm-classify -m wine.gm --eval wine.csv >figures
    gm_assert_equal "$(cut -d' ' -f1 figures | head -5 | tr '\n' ' ')" "rows accuracy balanced_accuracy auc macro_f1 "
}

@test "--calibrate: one score by Platt's method, as NumPy finds it" {
    two_irises dense:1
    train two.gm 'hinge(x,y)' 20 two.csv
    gm-classify -m two.gm --scores two.csv >scores.csv
    gm_assert_equal "$(head -1 scores.csv)" score
    gm-classify -m two.gm --calibrate two.csv >fitted
    grep -qx 'rows 100' fitted
    grep -qx 'calibration platt' fitted
    gm_python - <<'P' >theirs
import csv, numpy as np
s = np.array([float(r[0]) for r in list(csv.reader(open("scores.csv")))[1:]])
y = np.array([r["species"] == "virginica" for r in csv.DictReader(open("two.csv"))])
n, m = y.sum(), (~y).sum()
t = np.where(y, (n + 1) / (n + 2), 1 / (m + 2))
x = np.zeros(2)
A = np.stack([s, np.ones_like(s)], 1)
for _ in range(100):  # plain Newton
    p = 1 / (1 + np.exp(-A @ x))
    x -= np.linalg.solve((A * (p * (1 - p))[:, None]).T @ A, A.T @ (p - t))
print("slope %.6g\noffset %.6g" % tuple(x))
P
    tail -n 2 fitted | cut -d' ' -f2 >ours.n
    cut -d' ' -f2 theirs >theirs.n
    gm_assert_close ours.n theirs.n 1e-4
    agrees two.gm two.csv
    check_figures two.gm two.csv species
    gm-show two.gm | grep -q 'calibrated: p = sigmoid(.* s [-+] .*), on 100 rows'
}

@test "--calibrate: a score for each class by temperature; classes stay, probabilities fit" {
    wine dense:classes
    train wine.gm 'hinge(x,y)' 20 wine.csv
    gm-classify -m wine.gm wine.csv | cut -d, -f1 >before
    gm-classify -m wine.gm --calibrate --fold 1/3 wine.csv >fitted
    grep -qx 'rows 60' fitted
    gm-classify -m wine.gm wine.csv | cut -d, -f1 | cmp - before
    agrees wine.gm wine.csv
    check_figures wine.gm wine.csv cultivar
    # no other temperature has less loss against the smoothed targets
    gm-classify -m wine.gm --scores --fold 1/3 wine.csv >scores.csv
    gm-classify -m wine.gm --fold 1/3 --id cultivar wine.csv | cut -d, -f1 >labels
    gm_python - "$(figure slope fitted)" <<'P'
import sys, numpy as np
a = float(sys.argv[1])
s = np.loadtxt("scores.csv", delimiter=",", skiprows=1)
y = np.array(["ABC".index(l.strip()) for l in list(open("labels"))[1:]])
n = np.bincount(y, minlength=3)
t = np.repeat(1 / (n[y] + 3), 3).reshape(-1, 3)
t[np.arange(len(y)), y] = (n[y] + 1) / (n[y] + 3)
def loss(a):
    z = a * s
    return -(t * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum(1).mean()
assert loss(a) < loss(a * 1.01) and loss(a) < loss(a / 1.01)
P
}

@test "a calibration is good for its step only, and goes with the model" {
    two_irises dense:1
    train two.gm 'hinge(x,y)' 5 two.csv
    gm-classify -m two.gm --calibrate two.csv >/dev/null
    gm-classify -m two.gm --proba two.csv >proba
    gm-save -o two.gmt two.gm
    gm-init -o copy.gm --from two.gmt >/dev/null
    gm-classify -m copy.gm --proba two.csv | cmp - proba
    gm_same_model two.gm copy.gm
    gm-save --params two.gm >params.gmt
    gm-init -o copy.gm --force --from params.gmt >/dev/null
    gm-classify -m copy.gm --proba two.csv | cmp - proba
    gm-show --json two.gm | grep -q '"calibration":{"kind":"platt",'
    # it can be fitted again
    gm-classify -m copy.gm --calibrate --fold 1/2 two.csv >/dev/null
    run -1 cmp -s proba <(gm-classify -m copy.gm --proba two.csv)
    train two.gm 'hinge(x,y)' 6 two.csv
    gm-classify -m two.gm two.csv >answers 2>said
    gm_assert_equal "$(head -1 answers)" "species,score"
    gm_assert_equal "$(cat said)" "gm-classify: two.gm was calibrated at step 25 and is at step 30: its outputs are scores again"
    gm-show two.gm | grep -q 'calibration is stale: fitted at step 25'
    run -2 --separate-stderr gm-classify -m two.gm --proba two.csv
    [[ $stderr == *"--calibrate makes them so"* ]]
    gm-save two.gm | gm-show --json >saved.json
    run -1 grep -q calibration saved.json
}

@test "the calibration of averaged parameters goes with them, and not with others" {
    two_irises dense:1
    gm-init -o two.gm --force -s 1 --optimizer sgd:lr=0.1,average=5 --data two.csv --label species features dense:1 >/dev/null
    train two.gm 'hinge(x,y)' 5 two.csv
    gm-classify -m two.gm --calibrate two.csv >/dev/null
    gm-classify -m two.gm two.csv >answers
    gm-save -o all.gmt two.gm
    gm-save --params -o params.gmt two.gm
    gm-init -o copy.gm --from all.gmt >/dev/null
    gm-classify -m copy.gm two.csv | cmp - answers
    gm-init -o copy.gm --force --from params.gmt >/dev/null
    gm-classify -m copy.gm two.csv | cmp - answers
    # the other parameters are what is left of a checkpoint whose state was dropped on the way
    gm_python - <<'P'
import msgpack, zstandard
d = zstandard.ZstdDecompressor().stream_reader(open("all.gmt", "rb"), read_across_frames=True)
records = list(msgpack.Unpacker(d))
assert "calibration" in records[0]["info"]
records[0]["tensors"] = {n: t for n, t in records[0]["tensors"].items() if "/" not in n}
open("bare.gmt", "wb").write(b"".join(msgpack.packb(r) for r in records))
P
    gm-init -o copy.gm --force --from bare.gmt >/dev/null
    gm_assert_equal "$(gm-classify -m copy.gm two.csv | head -1)" species,score
}

@test "--calibrate refuses: one class, a model in training, scores that do not rise" {
    two_irises dense:1
    train two.gm 'hinge(x,y)' 5 two.csv
    { head -1 two.csv; grep virginica two.csv; } >one.csv
    gm_assert_fails 1 "all 50 rows are of one class" gm-classify -m two.gm --calibrate one.csv
    head -1 two.csv >none.csv
    gm_assert_fails 1 "no rows" gm-classify -m two.gm --calibrate none.csv
    cut -d, -f1,2 two.csv >bare.csv
    gm_assert_fails 1 "no label column 'species'" gm-classify -m two.gm --calibrate bare.csv
    awk -F, -v OFS=, 'NR > 1 { $3 = $3 == "virginica" ? "versicolor" : "virginica" } 1' two.csv >opposite.csv
    gm_assert_fails 1 "do not rise with the class" gm-classify -m two.gm --calibrate opposite.csv
    mkfifo in
    gm-step -m two.gm <in >/dev/null 2>&1 &
    local trainer=$!
    exec 7>in
    gm_until_trained two.gm "$trainer"
    gm_assert_fails 1 "held by another process (pid $trainer)" gm-classify -m two.gm --calibrate two.csv
    exec 7>&-
    wait "$trainer" || true
    gm-show two.gm >shown
    run -1 grep -q calibr shown
}

@test "answers to a slow pipe come at once, one line for each line" {
    wine dense:classes:softmax
    gm-classify -m wine.gm --id ash wine.csv >all
    mkfifo in out
    for j in 1 3; do
        gm-classify -j $j -m wine.gm --id ash <in >out &
        local classifier=$!
        exec 7>in 8<out
        head -1 wine.csv >&7
        for line in 2 3 9; do
            sed -n "${line}p" wine.csv >&7
            if [ $line -eq 2 ]; then
                read -r -t 20 answer <&8
                gm_assert_equal "$answer" "ash,cultivar,probability"
            fi
            read -r -t 20 answer <&8
            wanted=$(sed -n "${line}p" all)
            gm_assert_equal "${answer%,*}" "${wanted%,*}"
            gm_assert_close "${answer##*,}" "${wanted##*,}" # one row is another sum than many
        done
        exec 7>&-
        wait "$classifier"
    done
}

@test "--id carries a column, quoted where it must be; rows keep their order" {
    wine dense:classes:softmax
    awk -F, -v OFS=, 'NR == 1 { print $0, "name, full" } NR > 1 { print $0, "\"row " NR ", \"\"" NR "\"\"\"" }' wine.csv |
        sed '1s/name, full/"name, full"/' >named.csv
    gm-classify -m wine.gm --id 'name, full' named.csv >answers
    gm_assert_equal "$(head -1 answers)" '"name, full",cultivar,probability'
    gm_assert_equal "$(sed -n 3p answers | cut -d, -f1,2)" '"row 3, ""3"""'
    gm_python - <<'P'
import csv
a = list(csv.reader(open("answers")))
assert [r[0] for r in a[1:]] == ['row %d, "%d"' % (i, i) for i in range(2, 180)]
P
    gm_assert_equal "$(gm-classify -m wine.gm --id cultivar --proba wine.csv | head -1)" "cultivar,predicted_cultivar,p_A,p_B,p_C"
    gm-classify -m wine.gm --id cultivar wine.csv >pairs.csv
    gm-init -o pairs.gm --data pairs.csv --label cultivar features dense:classes >/dev/null
    sed '1s/$/,probability/; 2,$s/$/,0/' wine.csv >other.csv
    gm_assert_equal "$(gm-classify -m wine.gm --id probability other.csv | head -1)" "probability,cultivar,predicted_probability"
}

@test "a header and no rows: a header" {
    wine dense:classes:softmax
    head -1 wine.csv >none.csv
    gm_assert_equal "$(gm-classify -m wine.gm none.csv)" cultivar,probability
    gm_assert_equal "$(head -1 wine.csv | gm-classify -m wine.gm --id ash --keep-going)" ash,cultivar,probability
    gm-classify -m wine.gm none.csv wine.csv none.csv | cmp - <(gm-classify -m wine.gm wine.csv)
    gm_assert_fails 1 "no rows" gm-classify -m wine.gm --eval none.csv
    gm_assert_fails 1 "empty file" gm-classify -m wine.gm /dev/null
}

@test "many rows in memory that does not grow" {
    [ -z "${GM_SANITIZED:-}" ] || skip "sanitizers keep memory"
    wine dense:classes:softmax
    for n in 20 400; do
        { head -1 wine.csv; for _ in $(seq $n); do tail -n +2 wine.csv; done; } >rows.csv
        gm_python - >peak.$n <<'P'
import resource, subprocess
subprocess.run(["gm-classify", "-m", "wine.gm"], stdin=open("rows.csv"), stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
P
    done
    echo "$(cat peak.20) kB for 3560 rows, $(cat peak.400) kB for 71200"
    [ "$(cat peak.400)" -lt $(($(cat peak.20) + 2000)) ]
}

@test "any number of threads: the same answers in the same order, figures, calibration and errors" {
    wine dense:20:relu dense:classes:softmax
    train wine.gm 'ce(x,y)' 2 wine.csv
    { head -1 wine.csv; for _ in $(seq 120); do tail -n +2 wine.csv; done; } | awk -F, -v OFS=, '{ print $0, NR == 1 ? "n" : NR }' >rows.csv
    gm-batch -m wine.gm -b 300 rows.csv >rows.gmt
    sed -e '15000s/,[^,]*/,n.a./' rows.csv >word.csv
    sed -e '3s/,[^,]*/,n.a./' -e '9000s/,[^,]*//' word.csv >many.csv
    gm-init -o two.gm -s 1 --data wine.csv --label cultivar features dense:8:relu dense:classes >/dev/null
    train two.gm 'hinge(x,y)' 40 wine.csv
    for j in 1 2 3 8; do
        cp -f two.gm now.gm
        {
            gm-classify -j $j -m wine.gm --id n rows.csv
            gm-classify -j $j -m wine.gm --proba rows.gmt
            gm-classify -j $j -m wine.gm --eval --confusion --fold 2/3 rows.csv
            gm-classify -j $j -m wine.gm word.csv || echo "status $?"
            gm-classify -j $j -m wine.gm --id n --keep-going many.csv || echo "status $?"
            head -c 30000 rows.gmt | gm-classify -j $j -m wine.gm || echo "status $?"
            gm-classify -j $j -m now.gm --calibrate rows.csv
            gm-classify -j $j -m now.gm --proba wine.csv
        } >said.$j 2>&1
        cmp said.1 said.$j
    done
    gm_assert_equal "$(grep -c '^status 1$' said.1)" 3
    gm_assert_equal "$(sed -n 's/in record [0-9]*$/in record N/; s/^gm-classify: //p' said.1)" "word.csv: line 15000, column 'malic_acid': 'n.a.' is not a number
3 rows could not be used; the first: many.csv: line 3, column 'malic_acid': 'n.a.' is not a number
standard input: stream cut off in record N"
    [ ! -e /dev/full ] || gm_assert_fails 1 "No space left" bash -c 'exec gm-classify -j 3 -m wine.gm rows.csv 3>&1 >/dev/full'
}

@test "with threads, too: a reader that goes away ends it by a signal; an error is told at once, while input is waited for" {
    wine dense:20:relu dense:classes:softmax
    { head -1 wine.csv; for _ in $(seq 120); do tail -n +2 wine.csv; done; } >rows.csv
    for _ in 1 2 3 4 5 6; do
        said=$(bash -c 'gm-classify -j 3 -m wine.gm rows.csv 2>&1 >&3 | cat; exit ${PIPESTATUS[0]}' 3> >(head -1 >/dev/null)) || status=$?
        gm_assert_equal "$said ${status:-0}" " 141"
    done
    [ -e /dev/full ] || return 0
    mkfifo in
    exec 7<>in
    for _ in 1 2 3 4; do
        head -3 wine.csv >&7
        gm_assert_fails 1 "standard output: No space left" bash -c 'exec timeout 20 gm-classify -j 2 -m wine.gm in 3>&1 >/dev/full'
    done
}

@test "many outputs take no more memory than few" {
    [ -z "${GM_SANITIZED:-}" ] || skip "sanitizers keep memory"
    wine dense:1500
    { head -1 wine.csv; for _ in $(seq 40); do tail -n +2 wine.csv; done; } >rows.csv
    for j in 1 4; do
        gm_python - "$j" >peak.$j <<'P'
import resource, subprocess, sys
subprocess.run(["gm-classify", "-j", sys.argv[1], "-m", "wine.gm", "--scores", "rows.csv"], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
P
    done
    echo "$(cat peak.1) kB with one thread, $(cat peak.4) kB with four"
    [ "$(cat peak.1)" -lt 16000 ] && [ "$(cat peak.4)" -lt 32000 ]
}

@test "-o: records in, records out, with classes and probabilities; the same in gm-pipe" {
    wine dense:classes:softmax
    train wine.gm 'ce(x,y)' 2 wine.csv
    gm-batch -m wine.gm -b 50 wine.csv | gm-classify -m wine.gm -o c >out.gmt
    gm-show out.gmt >lines
    gm_assert_equal "$(wc -l <lines)" 4
    grep -q ' x <f4 50×13 .* y <i4 50 .* c/p <f4 50×3 .* c <i4 50 .*accuracy/wine ' lines
    gm-classify -m wine.gm --proba wine.csv | tail -n +2 >proba
    paste -d, <(gm-show --csv c out.gmt | tail -n +2 | tr 012 ABC) <(gm-show --csv c/p out.gmt | tail -n +2) | cmp - proba
    gm-classify -m wine.gm --eval wine.csv >figures
    gm_scalar out.gmt accuracy/wine | awk '{ n = NR < 4 ? 50 : 28; right += n * $1 } END { printf "%.4f\n", right / 178 }' | grep -qx "$(figure accuracy)"
    gm-pipe 'gm-batch -m wine.gm -b 50 wine.csv | gm-classify -m wine.gm -o c' | zstd -dc | cmp - <(zstd -dc <out.gmt)
    gm_assert_fails 2 "as a stage of a pipeline it needs -o NAME" gm-pipe 'gm-batch -m wine.gm wine.csv | gm-classify -m wine.gm'
    gm-batch -m wine.gm wine.csv | gm-classify -m wine.gm -o c --drop x,y | gm-show >lines
    run -1 grep -q ' x ' lines
    gm-batch -m wine.gm wine.csv >in.gmt
    run -1 bash -c 'gm-classify -m wine.gm -o x <in.gmt 2>&1 >/dev/null'
    [[ $output == *"both input and output"* ]]
    run -1 bash -c 'gm-classify -m wine.gm -o c -i z <in.gmt 2>&1 >/dev/null'
    [[ $output == *"'z'"* ]]
}

@test "-o in a training pipeline follows the model, step by step; --frozen does not" {
    wine dense:classes:softmax
    cp wine.gm other.gm
    gm-batch -b 50 --train wine.gm -n 12 wine.csv | gm-grad -m wine.gm --loss 'ce(x,y)' | gm-step -m wine.gm |
        gm-classify -m other.gm --frozen -o o | gm-classify -m wine.gm --frozen -o f | gm-show --json >/dev/null
    cp other.gm wine.gm
    gm-pipe 'gm-batch -b 50 --train wine.gm -n 12 wine.csv | gm-classify -m wine.gm -o before | gm-grad -m wine.gm --loss "ce(x,y)" |
        gm-step -m wine.gm | gm-classify -m wine.gm -o after' >fused.gmt
    cp other.gm wine.gm
    gm-batch -b 50 --train wine.gm -n 12 wine.csv | gm-classify -m wine.gm -o before | gm-grad -m wine.gm --loss 'ce(x,y)' |
        gm-step -m wine.gm >piped.gmt
    cmp <(gm_tensor piped.gmt before/p) <(gm_tensor fused.gmt before/p)
    # what came out behind step k is what goes in at step k + 1
    gm-show --csv after/p fused.gmt | tail -n +2 | head -n 1 >after0
    gm-show --csv before/p fused.gmt | tail -n +2 | head -n 1 >before0
    run -1 cmp -s after0 before0
}

@test "a discriminator gives each row a score, and no class" {
    gm-init -o D.gm -s 2 --data digits.csv --label digit --scale range:-1,1 features dense:32:leaky dense:1:sigmoid >/dev/null
    gm-init -o G.gm -s 1 --data digits.csv --label digit --scale range:-1,1 20 dense:32:leaky dense:features:tanh >/dev/null
    gm-batch -b 64 --train G.gm,D.gm -n 200 digits.csv | gm-noise --dim 20 | gm-forward -m G.gm -i z -o fake |
        gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)' | gm-step -m D.gm |
        gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
        gm-grad -m G.gm -i z --upstream fake | gm-step -m G.gm | gm-log -q
    gm-classify -m D.gm digits.csv >real
    gm-sample -m G.gm -n 500 --csv | gm-classify -m D.gm >fake
    gm_assert_equal "$(head -1 real)" score
    gm_assert_equal "$(wc -l <real)" 1798
    awk 'FNR > 1 { if (!($1 >= 0 && $1 <= 1) || NF != 1) exit 1; sum[FILENAME] += $1; n[FILENAME]++ }
        END { print sum["real"] / n["real"], sum["fake"] / n["fake"]; exit !(sum["real"] / n["real"] > sum["fake"] / n["fake"]) }' real fake
    gm_assert_fails 2 "no probabilities of classes" gm-classify -m D.gm --proba digits.csv
    gm_assert_fails 2 "does not predict the classes" gm-classify -m D.gm --eval digits.csv
    gm_assert_fails 2 "does not predict the classes" gm-classify -m D.gm --calibrate digits.csv
    # one of two classes looks like a classifier; --scores says what is wanted
    two_irises dense:1:sigmoid
    gm_assert_equal "$(gm-classify -m two.gm --scores two.csv | head -1)" score
    gm-classify -m two.gm --proba two.csv | cut -d, -f3 | tail -n +2 | cmp - <(gm-classify -m two.gm --scores two.csv | tail -n +2)
}

@test "a bad row: the rows before it have their answers, and with --keep-going those behind it too" {
    wine dense:classes:softmax
    gm-classify -m wine.gm wine.csv >all
    sed -e '50s/,[^,]*/,n.a./' wine.csv >word.csv
    run -1 --separate-stderr gm-classify -m wine.gm word.csv
    gm_assert_equal "$output" "$(head -49 all)"
    [[ $stderr == *"word.csv: line 50, column 'malic_acid'"* ]]
    # words, short and long rows, in files with and without quotes
    sed -e '50s/,[^,]*/,n.a./' -e '51s/,[^,]*//' -e '52s/$/,7/' -e '179s/^[^,]*,//' wine.csv >many.csv
    sed -e '3s/^\([^,]*\),/"\1",/' -e '120s/^\([^,]*\),/"\1",/' many.csv >quoted.csv
    for file in many quoted; do
        run -1 --separate-stderr gm-classify -m wine.gm --keep-going $file.csv
        gm_assert_equal "$output" "$(sed -e '50,52s/.*/,/' -e '179s/.*/,/' all)"
        gm_assert_equal "$stderr" "gm-classify: 4 rows could not be used; the first: $file.csv: line 50, column 'malic_acid': 'n.a.' is not a number"
        tail -c 3000 $file.csv >end
        cat <(head -c -3000 $file.csv) <(sleep 0.2) end | gm-classify -m wine.gm --keep-going 2>/dev/null >piped || true
        gm_assert_equal "$(cat piped)" "$output"
    done
    run -1 --separate-stderr gm-classify -m wine.gm --keep-going --id cultivar --proba many.csv
    gm_assert_equal "$(sed -n '50,51p' <<<"$output")" "A,,,,
,,,,"
    printf 'k,a,b,c\nk1,1,2,red\nk2,2,1,blue\n' >tiny.csv
    cut -d, -f2-4 tiny.csv >train.csv
    gm-init -o tiny.gm --data train.csv --label c features dense:classes:softmax >/dev/null
    for quote in '' '"'; do
        printf 'k,a,b,c\nk1,1,2,red\nk4,1,2\n%sk5%s,1,2,red,4\nk6\nk7,2,1,blue\n' "$quote" "$quote" >ragged.csv
        for way in cat 'stdbuf -o0 sed -u b'; do
            run -1 --separate-stderr bash -c "$way ragged.csv | gm-classify -m tiny.gm --keep-going --id k | cut -d, -f1,2 | tr '\n' ' '; exit \${PIPESTATUS[1]}"
            gm_assert_equal "$output" "k,c k1,red k4, k5, k6, k7,blue "
        done
        run -1 --separate-stderr gm-classify -m tiny.gm --keep-going --id c ragged.csv
        gm_assert_equal "$(cut -d, -f1 <<<"$output" | tr '\n' ' ')" "c red  red  blue "
    done
    run -1 --separate-stderr gm-classify -m wine.gm --keep-going --eval many.csv
    [ "${lines[0]}" = "rows 174" ]
    { cat many.csv; for _ in $(seq 300); do tail -n +2 many.csv; done; } >long.csv
    run -1 --separate-stderr gm-classify -m wine.gm --keep-going long.csv
    gm_assert_equal "$(wc -l <<<"$output")" "$(wc -l <long.csv)"
    [[ $stderr == *"1204 rows"* ]]
    gm-classify -m wine.gm --keep-going wine.csv | cmp - all
}
