#!/usr/bin/env bats
# gm-allreduce under mpirun: ranks that take the steps of one process, and what ends them all.
load helpers

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$BATS_TEST_DIRNAME"/../examples/data/{digits,wine}.csv .
    command -v mpirun >/dev/null || skip "no mpirun: make MPI=1 installs one"
    [ -e "$GM_BUILD/lib/gm-mpi.so" ] || skip "built where there was no MPI: make MPI=1"
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_base_warn_component_unused=0 HWLOC_HIDE_ERRORS=2
    if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
    if [ -n "${GM_SANITIZED:-}" ]; then export LSAN_OPTIONS=suppressions=$BATS_TEST_DIRNAME/mpi.supp:print_suppressions=0 ASAN_OPTIONS=fast_unwind_on_malloc=0; fi
}

# ranks N SCRIPT: in directories of their own. What is said goes to said.txt, and to the log of a test that fails.
ranks() {
    local status=0
    timeout -k 5 120 mpirun -q -n "$1" bash -o pipefail -c "cd rank-\$OMPI_COMM_WORLD_RANK; $2" 2>said.txt || status=$?
    cat said.txt
    return "$status"
}

# The ranks fail, all at their end, and one line is said, by one of them, that begins with TEXT.
ranks_fail() { # N, TEXT, SCRIPT
    run -1 ranks "$1" "$3"
    gm_assert_equal "$(grep '^gm-' said.txt)" "$2"
}

each() { # COMMAND for directories 0 to N-1
    local i
    for ((i = 0; i < $1; i++)); do mkdir -p "rank-$i"; (cd "rank-$i" && eval "$2"); done >/dev/null
}

classifier='gm-init --force -o C.gm -s 1 --data ../wine.csv --label cultivar features dense:16:tanh dense:classes:softmax'
G='gm-init --force -o G.gm -s 1 --data ../digits.csv --label digit --scale range:-1,1 8 dense:24:leaky dense:features:tanh'
D='gm-init --force -o D.gm -s 2 --data ../digits.csv --label digit --scale range:-1,1 features dense:24:leaky dropout:0.2 dense:1:sigmoid'

# The lines of a training, whose options are words that a test may set.
classify() {
    echo "gm-batch -b 48 --shard auto --train C.gm -n $1 $HEAD ${DATA:-../wine.csv} | gm-grad -m C.gm --loss 'ce(x,y) + 1e-4*l2()' |
        gm-allreduce -m C.gm $REDUCE | gm-step -m C.gm $STEP | gm-log -q -o C.csv"
}
gan() {
    echo "gm-batch -b 48 --shard auto --train G.gm,D.gm -n $1 ../digits.csv | gm-noise --dim 8 | gm-forward -m G.gm -i z -o fake |
        gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)' | gm-allreduce -m D.gm | gm-step -m D.gm $STEP |
        gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad |
        gm-grad -m G.gm -i z --upstream fake | gm-allreduce -m G.gm | gm-step -m G.gm | gm-log -q -o gan.csv"
}

# The largest difference of two models' parameters, relative to the largest parameter of the tensor.
distance() {
    gm-save --params "$1" >a.gmt
    gm-save --params "$2" >b.gmt
    local tensor
    for tensor in $(gm-show --json a.gmt | grep -o '"[0-9]*\.[a-z]*"' -i | tr -d '"'); do
        paste -d' ' <(gm_tensor a.gmt "$tensor") <(gm_tensor b.gmt "$tensor") | awk '
            function abs(x) { return x < 0 ? -x : x }
            { d = abs($1 - $2); if (d > most) most = d; if (abs($2) > scale) scale = abs($2) }
            END { print most / scale }'
    done | sort -g | tail -n 1
}

is_close() {
    local far
    far=$(distance "$1" "$2")
    echo "$1 and $2 differ by $far"
    awk -v far="$far" 'BEGIN { exit !(far <= 1e-5) }'
}

@test "a classifier and a GAN on 2 and on 4 ranks are those of one process with the whole batch; and the same bits each time" {
    local steps=500
    [ -z "${GM_SANITIZED:-}" ] || steps=50 # which take longer there
    mkdir one
    (cd one && eval "$classifier; $G; $D" >/dev/null && gm-pipe "$(classify $steps)" && gm-pipe "$(gan $steps)")
    for n in 2 4; do
        for again in first second; do
            each $n "$classifier; $G; $D"
            ranks $n "gm-pipe \"$(classify $steps)\""
            ranks $n "gm-pipe \"$(gan $steps)\""
            for model in C G D; do
                for ((i = 1; i < n; i++)); do gm_same_model rank-0/$model.gm rank-$i/$model.gm; done
                is_close one/$model.gm rank-0/$model.gm
                if [ $again = second ]; then gm_same_model first-$model.gm rank-0/$model.gm; fi
                cp rank-0/$model.gm first-$model.gm
            done
            paste -d, one/gan.csv rank-1/gan.csv |
                awk -F, 'NR > 1 && ($2 - $5) ^ 2 + ($3 - $6) ^ 2 > 1e-8 { bad = 1 } END { exit bad || NR < 51 }'
        done
    done
}

@test "three ranks, whose parts have not the same number of rows; pipes of the shell have the bits of gm-pipe" {
    mkdir one
    (cd one && eval "$classifier" >/dev/null && gm-pipe "$(HEAD='-b 50' classify 60)")
    each 3 "$classifier"
    ranks 3 "$(HEAD='-b 50' classify 60)"
    is_close one/C.gm rank-2/C.gm
    mv rank-0 piped
    each 3 "$classifier"
    ranks 3 "gm-pipe \"$(HEAD='-b 50' classify 60)\""
    gm_same_model piped/C.gm rank-0/C.gm
    gm_same_model piped/C.gm rank-2/C.gm
}

@test "gradients that gm-step clips and gathers, of two models in one record" {
    local line begin model optimizer='--optimizer adam:lr=0.01,accumulate=3'
    line="gm-batch -b 48 --shard auto --train C.gm,B.gm -n 60 ../wine.csv |
        gm-grad -m C.gm --loss 'ce(x,y)' | gm-grad -m B.gm --loss 'ce(x,y)' | gm-allreduce -m C.gm | gm-allreduce -m B.gm |
        gm-step -m C.gm --clip-norm 0.05 | gm-step -m B.gm --accumulate 3 --clip-norm 0.1 | gm-log -q"
    begin="$classifier; ${classifier/-o C.gm -s 1/-o B.gm -s 2 $optimizer}"
    mkdir one
    (cd one && eval "$begin" >/dev/null && gm-pipe "$line")
    each 3 "$begin"
    ranks 3 "gm-pipe \"$line\""
    for model in C B; do
        is_close one/$model.gm rank-0/$model.gm
        gm_same_model rank-0/$model.gm rank-1/$model.gm
        gm_same_model rank-0/$model.gm rank-2/$model.gm
    done
}

@test "batch normalization, several critic steps for each of the generator, records without gradients" {
    local line
    line="gm-batch -b 48 --shard auto --train G.gm,D.gm -n 20 ../digits.csv | gm-noise --dim 8 | gm-forward -m G.gm -i z -o fake |
        gm-grad -m D.gm --loss 'mean(fake) - mean(x)' | gm-allreduce -m D.gm --check 7 | gm-step -m D.gm --clip-weights 0.05 |
        gm-grad -m D.gm --loss '- mean(fake)' --input-grad fake --no-param-grad --every 5 |
        gm-grad -m G.gm -i z --upstream fake --every 5 | gm-allreduce -m G.gm --check 7 | gm-step -m G.gm --every 5 | gm-log -q"
    each 2 "${G/dense:24:leaky/dense:24 batchnorm}; ${D/dropout:0.2/batchnorm}"
    ranks 2 "gm-pipe \"$line\""
    gm_same_model rank-0/G.gm rank-1/G.gm
    gm_same_model rank-0/D.gm rank-1/D.gm
    gm_assert_equal "$(gm-show --step rank-0/G.gm)" 20
}

@test "where shared memory is short the ranks of a machine add by messages, to the same bits" {
    local wide line size
    wide="${classifier/dense:16:tanh/dense:512:tanh dense:512:tanh}"
    line="gm-pipe \"$(classify 12)\""
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # as who may mount is root, if only of a namespace
    export -f ranks
    unshare -rm mount -t tmpfs none /dev/shm 2>/dev/null || skip "unshare cannot give a /dev/shm of another size here"
    each 2 "$wide"
    ranks 2 "$line"
    cp rank-0/C.gm shared.gm
    for size in 3m 9m; do # too little for MPI's own, too, and for two rooms of 1 MB beside it
        each 2 "$wide"
        LINE=$line unshare -rm bash -c "mount -t tmpfs -o size=$size none /dev/shm && ranks 2 \"\$LINE\""
        gm_same_model shared.gm rank-0/C.gm
        gm_same_model shared.gm rank-1/C.gm
    done
}

@test "alone it passes records through and knows nothing of MPI" {
    export GM_MPI=/nonexistent GM_LEVEL=3
    eval "${classifier//..\//}" >/dev/null
    gm-batch -b 48 --train C.gm -n 1 wine.csv | gm-grad -m C.gm --loss 'ce(x,y)' >in.gmt
    gm-allreduce -m C.gm <in.gmt | cmp - in.gmt
    mpirun -n 1 sh -c 'gm-allreduce -m C.gm <in.gmt | cmp - in.gmt'
    for tool in "$GM_BUILD"/bin/*; do run -1 grep -q libmpi <(ldd "$tool"); done
}

# What each of two ranks runs is in its file `line`.
two() { # LINE of rank 0, LINE of rank 1
    each 2 "$classifier"
    echo "$1" >rank-0/line
    echo "$2" >rank-1/line
}
both='gm-pipe "$(cat line)"'

@test "ranks that differ: one of them says which it is, all end, models stay" {
    differ() { # TEXT, LINE of rank 1, STEP at the end, a command for rank 1
        two "$(classify 5)" "$2"
        (cd rank-1 && eval "$4") >/dev/null
        ranks_fail 2 "gm-allreduce: $1" "$both"
        gm_assert_equal "$(gm-show --step rank-0/C.gm)" "$3"
        gm-show rank-1/C.gm >/dev/null
    }
    local other="C.gm here, and a model of another specification elsewhere"
    differ "rank 1: record 0: $other" "$(classify 5)" 0 "${classifier/-s 1/-s 2}"
    differ "rank 1: record 0: $other" "$(classify 5)" 0 "${classifier/dense:16/dense:17}"
    differ "rank 1: record 0: --check 9, and 100 elsewhere" "$(REDUCE='--check 9' classify 5)" 0
    differ "rank 1: record 0: the run has 9 steps here, and 5 elsewhere: other data, or other options of gm-batch" "$(classify 9)" 0
    differ "rank 1: record 0: the whole batch has 40 rows here, and 48 elsewhere (0: no gm-batch --shard)" "$(HEAD='-b 40' classify 5)" 0
    differ "rank 1: record 0: rows 0 to 23 of the batch are in the part of another rank, too" "$(HEAD='--shard 0/2' classify 5)" 0
    differ "rank 0: record 0: the parts of all ranks are not the whole batch of 48 rows" "$(HEAD='--shard 3/4' classify 5)" 0
    differ "rank 1: record 0: step 1 here, and 0 elsewhere: all ranks must begin with copies of one model" "$(classify 5)" 0 \
        'gm-pipe "$(HEAD="--shard 0/1" classify 1)"'
    differ "rank 1: record 0: step 0: the batch is of other rows here than elsewhere: other data, or another seed of gm-batch" \
        "$(HEAD='-s 9' classify 5)" 0
    differ "rank 1: record 0: step 0: the batch is of other rows here than elsewhere: other data, or another seed of gm-batch" \
        "$(DATA=changed.csv classify 5)" 0 "sed '2,\$s/1/7/g' ../wine.csv >changed.csv"
    differ "rank 1: the stream ended here, and goes on elsewhere" "$(HEAD='--until 3' classify 5)" 3
    differ "rank 1: step 5: C.gm differs from the copies of the other ranks" "$(STEP='--lr 0.1' classify 5)" 5
    differ "rank 1: record 0: step 0: the gradients of C have other names or shapes here than elsewhere" \
        "$(classify 5 | sed 's/gm-allreduce/gm-noise --dim 2 --drop grad\/C\/0.b | &/')" 0
}

@test "copies that come apart are found at the next check" {
    two "$(REDUCE='--check 3' classify 20)" "$(REDUCE='--check 3' STEP='--lr 0.1' classify 20)"
    ranks_fail 2 "gm-allreduce: rank 1: record 3: step 3: C.gm differs from the copies of the other ranks" "$both"
    gm_assert_equal "$(gm-show --step rank-0/C.gm) $(gm-show --step rank-1/C.gm)" "3 3"
    # of four the one that is alone
    each 4 "$classifier"
    for i in 0 1 2 3; do REDUCE='--check 3' classify 20 >rank-$i/line; done
    STEP='--lr 0.1' REDUCE='--check 3' classify 20 >rank-0/line
    ranks_fail 4 "gm-allreduce: rank 0: record 3: step 3: C.gm differs from the copies of the other ranks" "$both"
    each 4 "$classifier"
    for i in 1 3; do (cd rank-$i && eval "${classifier/tanh/relu}") >/dev/null; done
    rm rank-3/line
    ranks_fail 4 "gm-allreduce: ranks 1, 3: record 0: C.gm here, and a model of another specification elsewhere" 'gm-pipe "$(cat ../rank-1/line)"'
}

@test "a rank on which a stage fails, before the first record or later, ends all; and says why" {
    two "$(classify 9)" "$(classify 9)"
    rm rank-1/C.gm
    ranks_fail 2 "gm-pipe: rank 1: gm-allreduce: C.gm: cannot open: No such file or directory" "$both"
    two "$(classify 9)" "$(classify 9 | sed 's/gm-grad/& --every x/')"
    run ranks 2 "$both" # 1 or 2: that of the rank that was seen to end first
    [ "$status" -ne 0 ]
    gm_assert_equal "$(grep '^gm-' said.txt)" "gm-pipe: rank 1: gm-grad: --every: 'x' is not a whole number from 1 to 1000000000"
    # all of them
    run -2 ranks 2 'gm-pipe "$(cat ../rank-1/line)"'
    gm_assert_equal "$(grep '^gm-' said.txt)" "gm-pipe: rank 0: gm-grad: --every: 'x' is not a whole number from 1 to 1000000000"
    # in the middle of a GAN, between its two meetings
    each 2 "$G; $D"
    gan 20 >rank-0/line
    STEP='--lr 1e30' gan 20 >rank-1/line
    ranks_fail 2 "gm-grad: rank 1: record 0: step 1: D.gm: the loss is not finite" "$both"
    gm_assert_equal "$(gm-show --step rank-0/D.gm) $(gm-show --step rank-1/D.gm)" "1 1"
    gm_assert_equal "$(gm-show --step rank-0/G.gm) $(gm-show --step rank-1/G.gm)" "0 0"
}

@test "pipelines of other shapes: refused at the first record that shows it" {
    each 2 "$G; $D"
    gan 20 >rank-0/line
    gan 20 | sed 's/gm-allreduce -m G.gm |//; s/--shard auto//' >rank-1/line
    sed -i 's/--shard auto//' rank-0/line
    ranks_fail 2 "gm-allreduce: rank 1: record 1: D.gm here, and a model of another specification elsewhere" "$both"
    gan 20 | sed 's/--shard auto//; s/gm-allreduce -m D/gm-allreduce -m X/; s/gm-allreduce -m G/gm-allreduce -m D/; s/gm-allreduce -m X/gm-allreduce -m G/' >rank-1/line
    each 2 "$G; $D"
    ranks_fail 2 "gm-allreduce: rank 1: record 0: G.gm here, and a model of another specification elsewhere" "$both"
}

@test "in pipes of the shell a stream that is cut off ends all ranks, and gm-allreduce says so once" {
    each 2 "$classifier"
    run -1 ranks 2 "if [ \$OMPI_COMM_WORLD_RANK = 1 ]; then $(classify 20 | sed '1s/|/| head -c 3000 |/') ; else $(classify 20); fi"
    grep -q '^gm-grad: standard input: stream cut off' said.txt
    gm_assert_equal "$(grep -c '^gm-allreduce: ' said.txt)" 1
    grep -q '^gm-allreduce: rank 1: standard input: ' said.txt
    gm_assert_equal "$(gm-show --step rank-0/C.gm)" "$(gm-show --step rank-1/C.gm)"
    # a reader that goes away
    each 2 "$classifier"
    run -1 ranks 2 "if [ \$OMPI_COMM_WORLD_RANK = 1 ]; then $(classify 20 | sed 's/gm-step .*/true/') ; else $(classify 20); fi"
    gm_assert_equal "$(grep -c '^gm-allreduce: ' said.txt)" 1
    grep -q '^gm-allreduce: rank 1: .*nobody reads' said.txt
}

@test "a second gm-allreduce in one rank is refused" {
    each 2 "$G; $D"
    run -1 ranks 2 "$(gan 20)"
    for i in 0 1; do
        grep -qx "gm-allreduce: a second gm-allreduce in rank $i: MPI takes one process for each rank, and gm-pipe runs a whole pipeline in one" said.txt
    done
    gm_assert_equal "$(gm-show --step rank-0/G.gm) $(gm-show --step rank-1/G.gm)" "0 0"
}

@test "a GAN that was ended between the steps of its two models goes on, to the same bits" {
    each 2 "$G; $D"
    ranks 2 "gm-pipe \"$(gan 4)\""
    each 2 "cp G.gm G4.gm"
    ranks 2 "gm-pipe \"$(gan 5)\""
    each 2 "mv G4.gm G.gm"
    ranks 2 "gm-pipe \"$(gan 8)\""
    mv rank-0 resumed
    each 2 "$G; $D"
    ranks 2 "gm-pipe \"$(gan 8)\""
    gm_same_model resumed/G.gm rank-0/G.gm
    gm_same_model resumed/D.gm rank-0/D.gm
}

@test "a rank is killed: the job ends, models are at a step, and from copies of one it goes on to the same bits" {
    local apart end
    each 2 "$classifier"
    ranks 2 "echo \$\$ >pid; exec gm-pipe \"$(classify 100000000)\"" &
    gm_until_trained rank-1/C.gm
    while [ "$(gm-show --step rank-1/C.gm)" -lt 50 ]; do sleep 0.01; done
    kill -KILL "$(cat rank-1/pid)"
    run wait $!
    [ "$status" -ne 0 ]
    while kill -0 "$(cat rank-0/pid)" 2>/dev/null; do sleep 0.01; done
    apart=$(($(gm-show --step rank-0/C.gm) - $(gm-show --step rank-1/C.gm)))
    [ $apart -ge -1 ] && [ $apart -le 1 ]
    cp rank-1/C.gm rank-0/C.gm
    end=$(($(gm-show --step rank-0/C.gm) + 100))
    ranks 2 "gm-pipe \"$(classify $end)\""
    mv rank-0 resumed
    gm_same_model resumed/C.gm rank-1/C.gm
    each 2 "$classifier"
    ranks 2 "gm-pipe \"$(classify $end)\""
    gm_same_model resumed/C.gm rank-0/C.gm
}

@test "without its plugin, or with a wrong one, a rank says what to do" {
    each 2 "$classifier"
    cp -r "$GM_BUILD/bin" moved
    ranks_fail 2 "gm-pipe: gm-allreduce: rank 0 of 2, and gm-mpi.so, which speaks with the others, was not built: make MPI=1" \
        "$BATS_TEST_TMPDIR/moved/gm-pipe \"$(classify 5)\""
    # installed, it is in lib/gm
    mkdir -p there/lib/gm
    mv moved there/bin
    cp "$GM_BUILD/lib/gm-mpi.so" there/lib/gm
    ranks 2 "$BATS_TEST_TMPDIR/there/bin/gm-pipe \"$(classify 5)\""
    gm_same_model rank-0/C.gm rank-1/C.gm
    gm_assert_equal "$(gm-show --step rank-0/C.gm)" 5
    echo 'struct { int abi; } gm_mpi_table = {99};' >wrong.c
    gcc -shared -fPIC -o wrong.so wrong.c
    export GM_MPI=$BATS_TEST_TMPDIR/wrong.so
    ranks_fail 2 "gm-pipe: gm-allreduce: $GM_MPI is of another version of these tools: make MPI=1" "gm-pipe \"$(classify 5)\""
    gcc -shared -fPIC -o wrong.so -x c /dev/null
    run -1 ranks 2 "gm-pipe \"$(classify 5)\""
    grep -q 'undefined symbol: gm_mpi_table (make MPI=1 installs an MPI and builds this for it)$' said.txt
    unset GM_MPI
    # started by one thing, seen by another
    gm_assert_fails 1 "this is rank 1 of 2 for what started it, and rank 0 of 1 for MPI" \
        env SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 gm-allreduce -m rank-0/C.gm
    gm_assert_fails 1 "are no rank and size" env SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=2 gm-allreduce -m rank-0/C.gm
}
