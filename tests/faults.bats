# What goes wrong around the tools: the short dose of tests/fault, whose long one is `make torture`.
load helpers

attack() {
    [ -z "${GM_SANITIZED:-}" ] || [ "$*" = failures ] || skip "under sanitizers only what may leak"
    [ -e "${GM_BUILD:-build}/tests/fault/shim.so" ] || skip "the shim is for x86-64"
    "$BATS_TEST_DIRNAME/fault/run" --short "$@" >"$BATS_TEST_TMPDIR/attacks.txt" || { grep -v '^ok' "$BATS_TEST_TMPDIR/attacks.txt" >&2; return 1; }
}

@test "a process that ends before a call that changes a file, or in it: models open, and run again all is as it would be" { attack kills; }
@test "memory, files, locks, threads that cannot be had: one line, status 1, nothing torn, nothing left behind" { attack failures; }
@test "a stage between lanes that cannot have memory, sockets, descriptors: the same records, or one line" { attack lanes; }
@test "little memory: one line, status 1, no waiting for more" { attack memory; }
@test "reads and writes of some bytes, and interrupted ones: the same output" { attack pieces; }
@test "a random process of a pipeline killed at a random moment: the run goes on to the same bits" { attack random; }
@test "each stage of a pipeline killed, stopped, cut off" { attack stages; }
@test "a second writer, ten readers, a model that is replaced" { attack readers; }
@test "pipelines side by side have the bits of one alone, and one of many records holds no more at its end" { attack crowd endless; }
@test "a machine that goes down: a torn model is refused with the command that restores it, and the checkpoint is whole" { attack pages; }
@test "full disks: outputs, models, checkpoints, logs" { attack full; }

@test "tools are built against overflows: fixed tables, no fixed addresses, guarded stacks" {
    [ -z "${GM_SANITIZED:-}" ] || skip "sanitizers are built without"
    for tool in "$GM_BUILD"/bin/*; do
        readelf -d "$tool" >"$BATS_TEST_TMPDIR/dynamic.txt"
        grep -q BIND_NOW "$BATS_TEST_TMPDIR/dynamic.txt"
        grep -q PIE "$BATS_TEST_TMPDIR/dynamic.txt"
        grep -q RELRO <(readelf -lW "$tool")
    done
    # what the same objects ask of a C library, which has these for itself too
    for tool in "$GM_BUILD"/tests/dynamic/*; do
        grep -q __stack_chk_fail@ <(readelf -sW "$tool")
        grep -q '[a-z]_chk@' <(readelf -sW "$tool")
    done
}
