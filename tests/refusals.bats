#!/usr/bin/env bats
# What gm-stream(5) says is refused: crafted streams (craft.py) into the tools. Each is one line that names record and tensor,
# status 1, on stdout nothing but the records before it, and no memory for what is refused. And what looks odd but is right.
load helpers

bats_require_minimum_version 1.5.0

setup_file() {
    export CRAFTED=$BATS_FILE_TMPDIR/crafted
    gm_python "$BATS_TEST_DIRNAME/craft.py" "$CRAFTED"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
}

# Becomes a command that gets no more than 64 MB of memory and 2 s of a processor: what allocates by the sizes that a stream
# claims fails with another message. AddressSanitizer reserves terabytes, so there its own limits hold.
little() { # COMMAND...
    if [ -n "${GM_SANITIZED:-}" ]; then
        export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}max_allocation_size_mb=64:hard_rss_limit_mb=400
        ulimit -t 20
    else
        ulimit -v 65536
        ulimit -t 2
    fi
    exec "$@"
}

# The crafted streams of a group, without the notes beside them.
cases() { # GROUP
    local file
    for file in "$CRAFTED/$1"/*; do
        case $file in *.says | *.records | *.options | *.shows | *.ends) ;; *) printf '%s\n' "$file" ;; esac
    done
}

# Compares what a tool did with what a refusal is; err.txt and out.txt hold what it said and showed.
is_refusal() { # STATUS RECORDS BEGIN-OF-MESSAGE
    local said shown i
    mapfile -t said <err.txt
    mapfile -t shown <out.txt
    [ "$1" -eq 1 ] || { echo "exit status $1: ${said[*]}"; return 1; }
    [ ${#said[@]} -eq 1 ] || { echo "${#said[@]} lines: ${said[*]}"; return 1; }
    [[ ${said[0]} == "$3"* ]] || { printf 'said:   %s\nwanted: %s\n' "${said[0]}" "$3"; return 1; }
    [ ${#shown[@]} -eq "$2" ] || { echo "${#shown[@]} records shown, not $2"; return 1; }
    for ((i = 0; i < $2; i++)); do
        [[ ${shown[i]} == "record $i  rows 2   x <f4 2×3 [1, 6] mean 3.5"* ]] || { echo "shown: ${shown[i]}"; return 1; }
    done
}

# Every stream of a group is refused by gm-show: from a file that is standard input, from a pipe, and named.
refused() ( # GROUP [file|pipe|name]
    trap - DEBUG # bats' own, which takes longer than the tools
    local file options status begin count=0 failed=0
    while read -r file; do
        options=()
        if [ -e "$file.options" ]; then mapfile -t options <"$file.options"; fi
        status=0
        begin="gm-show: standard input: $(<"$file.says")"
        case ${2:-file} in
        file) (little gm-show "${options[@]}" <"$file") >out.txt 2>err.txt || status=$? ;;
        pipe) head -c 1G "$file" 2>/dev/null | (little gm-show "${options[@]}") >out.txt 2>err.txt || status=$? ;;
        name)
            begin="gm-show: $file: $(<"$file.says")"
            (little gm-show "${options[@]}" "$file") >out.txt 2>err.txt || status=$?
            ;;
        esac
        count=$((count + 1))
        is_refusal $status "$(<"$file.records")" "$begin" || { echo "^ ${file#"$CRAFTED/"}" && failed=1; }
    done < <(cases "refused/$1")
    [ $count -gt 0 ] && [ $failed -eq 0 ]
)

# A model of the crafted tensor x, and what gm-forward makes of 0, 1 and 2 good records, without an end: expected.0 ...
forward_expected() { # WHOLE-STREAM-OF-2
    local whole one
    gm-init --force -o M.gm 3 dense:2 >/dev/null
    : >expected.0
    GM_LEVEL=store gm-forward -m M.gm <"$1" >all
    GM_LEVEL=store gm-forward -m M.gm <"$CRAFTED/accepted/plain.raw" >first
    GM_LEVEL=store gm-forward -m M.gm <"$CRAFTED/accepted/no record" >none # an end record: no longer for a count of 2
    whole=$(stat -c %s all)
    one=$(stat -c %s first)
    head -c $((one - $(stat -c %s none))) first >expected.1
    head -c $((whole - $(stat -c %s none))) all >expected.2
}

# gm-forward hands on the whole records before a refusal, and neither a part of a record nor an end record.
hands_on() { # STATUS RECORDS
    [ "$1" -eq 1 ] && [ "$(wc -l <err.txt)" -eq 1 ] && cmp out.gmt "expected.$2"
}

@test "what is no stream, or an empty one" { refused "no stream"; }

@test "end records that count wrong, hold tensors, or are missing" { refused ends; }
@test "records: version, rows, step, keys, scalars" { refused records; }
@test "info: size, values, keys, extensions, depth" { refused info; }
@test "names: empty, over 64 bytes, control characters, no text, twice" { refused names; }
@test "tensors: fields, types, rank, shapes that overflow, data of another size" { refused tensors; }
@test "sizes that are claimed and not there take no memory" { refused claims; }
@test "frames: checksum, content size, window, dictionary, blocks, skippable frames" { refused frames; }
@test "from a file, a pipe and a name alike" {
    for way in file pipe name; do refused first $way; done
    refused claims pipe
    refused ends name
}
@test "content of a GiB in some kilobytes takes no memory" {
    refused bombs
    # a tensor that is allowed, but not there where memory is short; AddressSanitizer has its own message for that
    [ -n "${GM_SANITIZED:-}" ] || refused memory
}
@test "skippable frames that skip nothing are bounded as others are" { refused "empty skippables"; }

filter_hands_on() (
    trap - DEBUG
    forward_expected "$CRAFTED/cut/raw"
    local group file status count=0
    for group in first frames ends bombs; do
        while read -r file; do
            case $file in *joined*) continue ;; esac # two streams: expected.2 has another second record
            status=0
            GM_LEVEL=store gm-forward -m M.gm <"$file" >out.gmt 2>err.txt || status=$?
            hands_on $status "$(<"$file.records")" || { echo "$file: status $status, $(<err.txt)"; return 1; }
            count=$((count + 1))
        done < <(cases "refused/$group")
    done
    [ $count -gt 100 ]
)
@test "a filter hands on whole records before a refusal, and no end record" { filter_hands_on; }

# Every beginning of a stream, through a pipe.
cut_anywhere() ( # FRAMING
    trap - DEBUG
    local cut=$CRAFTED/cut/$1 first second size at records begin status
    read -r first second <"$cut.ends"
    forward_expected "$cut"
    size=$(stat -c %s "$cut")
    for ((at = 0; at < size; at += ${GM_SANITIZED:+2} + 1)); do # slow under sanitizers: every third byte
        records=$(((at >= first) + (at >= second)))
        begin="gm-show: standard input: stream cut off in record $records"
        case $at in
        0) begin="gm-show: standard input: empty: no records and no end record" ;;
        "$first" | "$second") begin="gm-show: standard input: stream cut off after record $((records - 1)) (no end record)" ;;
        esac
        status=0
        head -c $at "$cut" | gm-show >out.txt 2>err.txt || status=$?
        is_refusal $status $records "$begin" || { echo "^ $1, $at of $size bytes"; return 1; }
        status=0
        head -c $at "$cut" | GM_LEVEL=store gm-forward -m M.gm >out.gmt 2>err.txt || status=$?
        hands_on $status $records || { echo "gm-forward: $1, $at of $size bytes"; return 1; }
    done
    gm_assert_equal "$(gm-show <"$cut" | wc -l)" 2
)
@test "a stream cut at any byte: one line, status 1, the whole records before it" {
    for framing in zstd stored raw; do cut_anywhere $framing; done
}

@test "gm-step commits nothing of a record that was cut" {
    cp "$BATS_TEST_DIRNAME/../examples/data/iris.csv" .
    gm-init -o new.gm --name W --data iris.csv --label species features dense:4:tanh dense:classes:softmax >/dev/null
    cp new.gm W.gm
    gm-batch --train W.gm -b 50 -n 3 iris.csv | gm-grad -m W.gm --loss 'ce(x,y)' | GM_LEVEL=store tee grads.gmt | gm-step -m W.gm >/dev/null
    size=$(stat -c %s grads.gmt)
    steps=
    for ((at = 1; at < size; at += size / 40)); do
        cp new.gm W.gm
        head -c $at grads.gmt >cut.gmt
        whole=$(gm-show cut.gmt 2>/dev/null | wc -l)
        gm_assert_fails 1 "gm-step: standard input: stream cut off" bash -c 'gm-step -m W.gm <cut.gmt'
        gm_assert_equal "$(gm-show --step W.gm)" "$whole"
        steps+=$whole
    done
    [[ $steps == 0*1*2*3 ]]
}

@test "every tool that reads streams refuses, with its own name and the source's" {
    gm-init -o M.gm 3 dense:1 >/dev/null
    gm-init -o C.gm 3 dense:2:softmax >/dev/null
    for model in M C; do cp $model.gm $model.before.gm; done
    while read -r file; do
        says=$(<"$file.says")
        cp "$file" in.gmt
        while IFS=: read -r source line; do
            gm_assert_fails 1 "${line%% *}: $source: $says" bash -c "${line} <in.gmt" || { echo "$line: $file" && false; }
        done <<'TOOLS'
standard input:gm-show
standard input:gm-show --json
standard input:gm-show --stats
standard input:gm-show --csv x
standard input:gm-noise --dim 2
standard input:gm-forward -m M.gm
standard input:gm-grad -m M.gm --loss 'mse(x,0)'
standard input:gm-step -m M.gm
standard input:gm-log -q
standard input:gm-classify -m C.gm
in.gmt:gm-classify -m C.gm in.gmt
in.gmt:gm-batch -b 2 in.gmt
in.gmt:gm-show in.gmt
in.gmt:gm-init -o N.gm --from in.gmt
TOOLS
    done < <(cases refused/first)
    for model in M C; do gm_same_model $model.before.gm $model.gm; done
    [ ! -e N.gm ]
}

@test "odd and right: keys as bin, any order, all types, unknown keys, all framings, joined streams, little memory" {
    count=0 failed=0
    while read -r file; do
        status=0
        (little gm-show <"$file") >out.txt 2>err.txt || status=$?
        if [ $status -ne 0 ] || [ -s err.txt ] || ! cmp -s out.txt "$file.shows"; then
            echo "${file#"$CRAFTED/"}: status $status"
            head -c 300 err.txt out.txt
            failed=1
        fi
        count=$((count + 1))
    done < <(cases accepted)
    [ $count -gt 100 ] && [ $failed -eq 0 ]
    for kind in f4 f8 u1 i4 i8; do gm_assert_equal "$(gm_tensor "$CRAFTED/accepted/type $kind.raw" x | xargs)" "1 2 3"; done
}
