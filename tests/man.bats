#!/usr/bin/env bats
# The manual pages: their examples run, and their options are those of --help. A page that is new needs a test below.
load helpers

MAN=$BATS_TEST_DIRNAME/../man
DATA=$BATS_TEST_DIRNAME/../examples/data

# examples PAGE [N]: the literal displays of the page's section EXAMPLES (or the N-th of them), as a reader sees them.
examples() {
    awk -v wanted="${2:-0}" '
         /^\.Sh / { here = $0 == ".Sh EXAMPLES" }
         /^\.Ed/ { literal = 0 }
         here && literal && (!wanted || n == wanted)
         here && /^\.Bd -literal/ { literal = 1; n++ }' "$MAN/$1" |
        sed -e "s/\\\\(aq/'/g" -e 's/\\(dq/"/g' -e 's/\\(ga/`/g' -e 's/\\-/-/g' -e 's/\\&//g' -e 's/\\e/\\/g'
}

# "-m, --model MODEL" for each option: of a page's section OPTIONS, and of the tool's help.
page_options() {
    awk '/^\.Sh / { here = $0 == ".Sh OPTIONS" } here && /^\.It Fl /' "$MAN/$1" |
        sed -e 's/^\.It //' -e 's/Fl /-/g' -e 's/ , /, /' -e 's/ Ar / /' | sort
}
help_options() {
    "$1" --help | sed -n 's/^ \{1,\}\(-.*\)/\1/p' | sed 's/  .*//' | sort
}

# A directory of the test's own, with the data.
enter() {
    mkdir "$BATS_TEST_TMPDIR/here"
    cd "$BATS_TEST_TMPDIR/here" || return 1
    cp "$DATA"/*.csv .
}

as_script() { timeout 60 bash -eu -o pipefail -v "$1"; }

run_examples() {
    enter
    examples "$1" >../examples
    [ -s ../examples ] || { echo "man/$1 has no examples" >&2; return 1; }
    as_script ../examples </dev/null
}

tool_page() {
    local tool=${1%.1}
    diff <(page_options "$1") <(help_options "$tool") || { echo "< man/$1    > $tool --help" >&2; return 1; }
    run_examples "$1"
}

# Two classes of the irises, a generator G and a discriminator D.
make_gan() {
    grep -v virginica iris.csv >two.csv
    gm-init -o G.gm -s 1 --data two.csv --label species 4 dense:features
    gm-init -o D.gm -s 2 --data two.csv --label species features dense:1
}
# gan_head MODELS [OPTION]: four steps of their training, up to the tensor fake; OPTION is gm-forward's.
gan_head() {
    gm-batch -b 20 --train "$1" -n 4 two.csv | gm-noise --dim 4 | gm-forward -m G.gm -i z -o fake ${2:+"$2"}
}

# The Python that Debian's modules belong to.
use_debian_python() {
    mkdir bin
    ln -s /usr/bin/python3 bin/python3
    PATH=$PWD/bin:$PATH
}

@test "gm-init(1)" { tool_page gm-init.1; }
@test "gm-batch(1)" { tool_page gm-batch.1; }
@test "gm-noise(1)" { tool_page gm-noise.1; }
@test "gm-forward(1)" { tool_page gm-forward.1; }
@test "gm-grad(1)" { tool_page gm-grad.1; }
@test "gm-reduce(1)" { tool_page gm-reduce.1; }
@test "gm-allreduce(1): where there is no MPI, with a rank that is alone" {
    export OMPI_MCA_rmaps_base_oversubscribe=1 HWLOC_HIDE_ERRORS=2
    if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
    # under sanitizers mpi.bats has what an MPI leaks
    if [ -n "${GM_SANITIZED:-}" ] || ! command -v mpirun >/dev/null || [ ! -e "$GM_BUILD/lib/gm-mpi.so" ]; then
        mkdir "$BATS_TEST_TMPDIR/alone"
        printf '#!/bin/sh\nshift 2\nexec "$@"\n' >"$BATS_TEST_TMPDIR/alone/mpirun"
        chmod +x "$BATS_TEST_TMPDIR/alone/mpirun"
        PATH=$BATS_TEST_TMPDIR/alone:$PATH
    fi
    tool_page gm-allreduce.1
    gm_assert_equal "$(gm-show --step rank-0/wine.gm) $(gm-show --step rank-0/G.gm)" "200 100"
}
@test "gm-step(1)" { tool_page gm-step.1; }
@test "gm-sample(1)" { tool_page gm-sample.1; }
@test "gm-classify(1)" { tool_page gm-classify.1; }
@test "gm-compare(1)" { tool_page gm-compare.1; }
@test "gm-show(1)" { tool_page gm-show.1; }
@test "gm-log(1)" { tool_page gm-log.1; }
@test "gm-save(1)" { tool_page gm-save.1; }
@test "gm-pipe(1)" { tool_page gm-pipe.1; }

@test "gm(7)" { run_examples gm.7; }

@test "gm-stream(5): the filter is examples/clip.py, and filters" {
    enter
    make_gan
    use_debian_python
    ln -s "$BATS_TEST_DIRNAME/../examples" examples
    examples gm-stream.5 1 | cmp - examples/clip.py
    examples gm-stream.5 2 >../use
    [ -s ../use ]
    gan_head D.gm --frozen | as_script ../use | gm-log -q
    gm_assert_equal "$(gm-show --step D.gm)" 4
}

@test "gm-model(5): the reader finds the parameters" {
    enter
    make_gan
    use_debian_python
    examples gm-model.5 1 >../reader.py
    python3 ../reader.py D.gm >../said
    cat ../said
    grep -q '^D at step 0 ' ../said
    # D has four weights, all of them shown
    sed -n 's/^first weights: \[\(.*\)\]/\1/p' ../said | tr -s ' ' '\n' | sed '/^$/d' | sort -g | sed -n '1p;4p' >../theirs
    gm-save D.gm | gm-show --json | sed 's/.*"0\.W":{[^}]*"min":\([^,]*\),"max":\([^,]*\),.*/\1\n\2/' >../ours
    gm_assert_close ../theirs ../ours 1e-6
}

@test "gm-loss(7): the pipeline trains, and each loss fits a model" {
    local loss model fits count=0
    enter
    make_gan
    examples gm-loss.7 1 >../pipeline
    gan_head G.gm,D.gm | as_script ../pipeline | gm-log -q
    gm_assert_equal "$(gm-show --step G.gm) $(gm-show --step D.gm)" "4 4"

    gm-init -o softmax.gm --data two.csv --label species features dense:classes:softmax
    gm-init -o scores.gm --data two.csv --label species features dense:classes
    gm-init -o auto.gm --data two.csv --label species --scale range:0,1 features dense:features
    gm-init -o vae.gm --data two.csv --label species features dense:4 gaussian:2 dense:features:sigmoid
    gm-init -o told.gm --data two.csv --label species features+classes dense:1
    gm-batch -m auto.gm two.csv | gm-noise --dim 4 -o fake | gm-noise --dim 4 -o z >batch.gmt
    while read -r loss; do
        fits=
        for model in D softmax scores auto told vae; do
            if gm-grad -m $model.gm --loss "$loss" <batch.gmt >/dev/null 2>&1; then fits=$model; fi
        done
        count=$((count + 1))
        [ -n "$fits" ] || { echo "no model takes the loss $loss" >&2; return 1; }
    done < <(examples gm-loss.7 | grep -v gm-)
    [ "$count" -ge 10 ]
}

@test "every page is tested here and listed in gm(7)" {
    local page name
    for page in "$MAN"/*.[157]; do
        page=${page##*/}
        name=${page%.*}
        grep -q "^@test \"$name(${page##*.})[\":]" "$BATS_TEST_FILENAME" || { echo "man/$page has no test" >&2; return 1; }
        [ "$page" = gm.7 ] || grep -qx ".It Xr $name ${page##*.}" "$MAN/gm.7" || { echo "gm(7) does not list man/$page" >&2; return 1; }
    done
}

@test "man(1) shows every page to its end" {
    local page
    cd "$BATS_TEST_TMPDIR"
    for page in "$MAN"/*.[157]; do
        MANWIDTH=100 man -l "$page" 2>said | tail -n 1 >foot
        gm_assert_equal "$(cat said)" ""
        grep -q '^BSD .* BSD$' foot || { echo "$page ends with: $(cat foot)" >&2; return 1; }
    done
}

@test "mandoc has no warnings" {
    run mandoc -T lint -W warning "$MAN"/*.[157]
    gm_assert_equal "$output" ""
    [ "$status" -eq 0 ]
}
