#!/usr/bin/env bats
# What the tools give up once their files are open (gm(7), SECURITY). What a confined process can still do at all is in
# tests/unit/confine_test.c.

setup_file() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    # opens the file that SPY names when the tool begins to read its stream, as a decoder that was taken over could
    cat >spy.c <<'EOF'
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
ssize_t readv(int fd, const struct iovec *parts, int n) {
    static int asked;
    if (fd == 0 && !asked++) {
        int file = open(getenv("SPY"), O_RDONLY);
        dprintf(2, "spy: %s\n", file >= 0 ? "opened" : strerror(errno));
    }
    return syscall(SYS_readv, fd, parts, n);
}
EOF
    gcc -D_GNU_SOURCE -fPIC -shared -o spy.so spy.c
    echo secret >secret
    gm-init -o m.gm 3 dense:1:sigmoid >/dev/null
    gm-noise -n 4 -b 2 --dim 3 -o x >in.gmt
}

setup() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    [ -z "${GM_SANITIZED:-}" ] || skip "sanitizers are not confined"
    if "$GM_BUILD/tests/unit/confine_test" | grep -q 'skip no Landlock'; then skip "no Landlock here"; fi
}

# what a command's spy said, in $status
spied() {
    local PATH=$GM_BUILD/tests/dynamic:$PATH
    status=$(SPY=secret LD_PRELOAD=$PWD/spy.so "$@" 2>&1 >/dev/null <in.gmt | sed -n 's/^spy: //p')
}

@test "each reader of streams cannot open another file by then" {
    mkdir -p other
    for command in "gm-show" "gm-noise --dim 2" "gm-forward -m m.gm -i x" "gm-grad -m m.gm --loss bce(x,1)" "gm-reduce -" "gm-allreduce -m m.gm" "gm-step -m m.gm" \
        "gm-log -q" "gm-log -q -o other/run.csv" "gm-show --png other/x.png --shape 1x3"; do
        # shellcheck disable=SC2086
        spied $command
        [ "$status" = "Permission denied" ] || { echo "$command: $status"; return 1; }
    done
    spied gm-pipe "gm-forward -m m.gm -i x | gm-grad -m m.gm --loss 'bce(x,1)' | gm-show"
    gm_assert_equal "$status" "Permission denied"
}

@test "what is to be written is written: checkpoints in other directories, through links, over older ones; logs; devices" {
    mkdir -p a b
    ln -sf ../b/linked.gmt a/linked.gmt
    touch b/linked.gmt
    for _ in 1 2; do
        gm-init --force -o t.gm --name t 3 dense:1:sigmoid >/dev/null
        awk 'BEGIN { print "a,b,c"; for (i = 0; i < 40; i++) print i "," i % 3 "," i % 7 }' >t.csv
        gm-batch --train t.gm -b 4 -n 10 t.csv | gm-grad -m t.gm --loss 'bce(x,1)' |
            gm-step -m t.gm --checkpoint a/last.gmt,a/linked.gmt,a/at-%.gmt:5 | gm-log -q -o b/run.csv
        gm-show a/last.gmt >/dev/null
        gm-show b/linked.gmt >/dev/null
        [ -L a/linked.gmt ] && [ -s a/at-5.gmt ] && [ "$(wc -l <b/run.csv)" -eq 11 ]
        rm b/run.csv
    done
    gm-save -o /dev/null t.gm
    gm-save -o >(cat >a/piped.gmt) t.gm
    gm-batch -b 4 t.csv | gm-log -q -o /dev/stdout >/dev/null
}
