#!/usr/bin/env bats
# The pipelines of several ranks, and their jobs, as users run them.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p share/gm
    cp -r "$BATS_TEST_DIRNAME"/../{pipelines,examples} share/gm/
    export GM_NO_INSTALL=1
}

needs_mpi() {
    [ -z "${GM_SANITIZED:-}" ] || skip "under sanitizers mpi.bats has what an MPI leaks"
    command -v mpirun >/dev/null || skip "no mpirun: make MPI=1 installs one"
    [ -e "$GM_BUILD/lib/gm-mpi.so" ] || skip "built where there was no MPI: make MPI=1"
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_base_warn_component_unused=0 HWLOC_HIDE_ERRORS=2
    if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
}

pipeline() { # NAME VARIABLES...
    local name=$1
    shift
    make --no-print-directory -f "share/gm/pipelines/$name.mk" "$@"
}

@test "gan-mpi.mk: a job that dies goes on from its checkpoints, to the same bits" {
    needs_mpi
    gan() { pipeline gan-mpi STEPS=120 KEEP=20 BATCH=48 "$@"; }
    gan OUT=out/whole >shown.txt 2>&1
    for file in samples.png losses.png run.csv G.gm D.gm; do [ -s out/whole/$file ]; done
    gm_assert_equal "$(gm-show --step out/whole/G.gm) $(wc -l <out/whole/run.csv)" "120 121"
    gan OUT=out/cut LAUNCH="setsid mpirun -q -n 2" &>cut.txt &
    job=$!
    for ((i = 0; i < 600; i++)); do
        if [ -e out/cut/G.40.gmt ]; then break; fi
        sleep 0.1
    done
    pkill -KILL -f "gm-pipe -j 1 .*$PWD/out/cut" || true
    wait "$job" || true
    gan OUT=out/cut >>cut.txt 2>&1
    for model in G D; do gm_same_model out/whole/$model.gm out/cut/$model.gm; done
    cmp out/whole/run.csv out/cut/run.csv
    # the same again has nothing to do, and other settings are refused
    gan OUT=out/cut >again.txt 2>&1
    run -1 grep -q training again.txt
    run -2 gan OUT=out/cut BATCH=50
    [[ $output == *"was begun with other settings"* ]]
}

@test "classify-mpi.mk: ranks change nothing but the rounding" {
    needs_mpi
    for ranks in 1 3; do
        pipeline classify-mpi RANKS=$ranks STEPS=100 OUT=out/$ranks DATA=share/gm/examples/data/wine.csv LABEL=cultivar OPTIMIZER=adam:lr=1e-2 LAYERS="dense:16:relu dropout:0.2 dense:classes:softmax" &>/dev/null
        gm-save --params out/$ranks/C.gm >$ranks.gmt
    done
    for tensor in 0.W 2.W; do
        gm_tensor 1.gmt $tensor >1.txt
        gm_tensor 3.gmt $tensor >3.txt
        gm_assert_close 1.txt 3.txt 1e-4 1e-5
    done
    awk '$1 == "accuracy" && $2 > 0.9 { found = 1 } END { exit !found }' out/3/figures
}

@test "on-rank says what is missing" {
    mkdir out
    touch out/{G.5,G.12,D.5}.gmt
    gm_assert_equal "$(share/gm/pipelines/on-rank newest out G D)" 5
    gm_assert_equal "$(share/gm/pipelines/on-rank newest out G)" 12
    printf 'step,loss\n%s,1\n' 4 10 >out/run.csv # 12 was kept, and the row of step 11 not written
    gm_assert_equal "$(share/gm/pipelines/on-rank newest out G)" 5
    echo 11,1 >>out/run.csv
    gm_assert_equal "$(share/gm/pipelines/on-rank newest out G)" 12
    run -1 share/gm/pipelines/on-rank newest out C
    [[ $output == *"no step of which all of C have a checkpoint in out"* ]]
    run -2 share/gm/pipelines/on-rank
}

@test "sweep.sh: each number of an array is a run of the grid" {
    cd share/gm
    settings=(DATA=examples/data/iris.csv EPOCHS=2 LR="1e-3 1e-2" HIDDEN=8)
    for SLURM_ARRAY_TASK_ID in 1 2; do
        export SLURM_ARRAY_TASK_ID
        bash examples/slurm/sweep.sh "${settings[@]}" &>/dev/null
    done
    SLURM_ARRAY_TASK_ID=3 run -1 bash examples/slurm/sweep.sh "${settings[@]}"
    [[ $output == *"there is no run number 3"* ]]
    find out -name C.gm -exec stat -c '%n %Y %Z' {} + | sort >before.txt
    gm_assert_equal "$(wc -l <before.txt)" 2
    make -s -f pipelines/sweep.mk "${settings[@]}" 2>/dev/null | grep -q "^best: out/sweep/lr_"
    find out -name C.gm -exec stat -c '%n %Y %Z' {} + | sort | cmp - before.txt
}
