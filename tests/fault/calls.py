"""One call of a tool goes wrong, the first, the second, ... until there is none left (shim.c)."""
import re
import shlex

from common import INIT_C, Failure, MODEL_MAGIC, SHIM, STORED, content_of, contents, gan, good, is_cache, require, run, step_of

WRITES = "write,writev,pwrite64"
CHANGES = f"{WRITES},msync,fsync,fdatasync,rename,renameat2,ftruncate,fallocate,link,linkat,unlink,unlinkat"
LOCKS = "openat,fcntl,flock,futex"


class Operation:
    """A command on files of a Place. `interrupted`: calls that EINTR may end; stdio gives up on it, and tools have no
    handlers of signals from which it could come."""

    def __init__(self, name, command, files, stdin=None, stdout=None, interrupted="read,readv,write,writev,openat,futex"):
        self.name, self.command = name, shlex.split(command)
        self.files, self.stdin, self.stdout, self.interrupted = files.split(), stdin, stdout, interrupted

    def prepare(self, place):
        """What the files are before and after it."""
        cwd = place.fresh("work", *self.files)
        self.before = contents(cwd)
        self.steps = {name: step_of(cwd, name) for name in self.models(cwd)}
        good(self.command, cwd, stdin=self.stdin, stdout=self.stdout)
        self.after = contents(cwd)
        self.last = {name: step_of(cwd, name) for name in self.models(cwd)}

    def models(self, cwd):
        return [path.name for path in cwd.iterdir() if path.read_bytes()[:8] == MODEL_MAGIC]

    def strike(self, place, **faults):
        """One run under the shim: its directory, its result, and whether the fault happened."""
        cwd = place.fresh("work", *self.files)
        told = place.root / "told"
        told.unlink(missing_ok=True)
        env = {"LD_PRELOAD": str(SHIM), "FAULT_TOLD": str(told), **{f"FAULT_{k.upper()}": str(v) for k, v in faults.items()}}
        result = run(self.command, cwd, stdin=self.stdin, stdout=self.stdout, env=env)
        require(result.status != 99, f"the shim does not work here: {result}")
        return cwd, result, told.stat().st_size > 0

    def is_between(self, cwd, name, made):
        """A file is as before, as after, or whole and of a step between."""
        if made in (self.before.get(name), self.after.get(name)):
            return True
        if name in self.last:
            return self.steps.get(name, 0) <= step_of(cwd, name) <= self.last[name]
        if name == "D.gmt":
            return run(["gm-init", "-o", "../restored.gm", "--force", "--from", name], cwd).status == 0
        return False

    def check_files(self, cwd, litter):
        """No file is lost or torn; standard output and a log may stop early."""
        for name in self.before:
            require((cwd / name).exists(), f"{name} is gone")
        for path in sorted(cwd.iterdir()):
            name = path.name
            if is_cache(name):
                continue
            if name not in self.before and name not in self.after:
                require(litter and name.endswith(".tmp"), f"leaves {name}")
                continue
            made = content_of(path)
            early = (name == self.stdout or name.endswith(".csv")) and self.after[name].startswith(made)
            require(early or self.is_between(cwd, name, made), f"{name} is torn")

    def check_rerun(self, cwd, log_may_lack=1):
        if content_or_none(cwd / "N.gm") != self.after.get("N.gm", b""):
            good(self.command, cwd, stdin=self.stdin, stdout=self.stdout)
        for name, wanted in self.after.items():
            made = content_of(cwd / name)
            if self.command[0] == "gm-pipe" and name == "run.csv":
                # the row of a step that was made, but not logged when the run ended, is in no log; nor is what a disk lost
                require(set(made.splitlines()) <= set(wanted.splitlines()), "run again, the log has other rows")
                require(len(made.splitlines()) + log_may_lack >= len(wanted.splitlines()), "run again, too many rows are missing")
                continue
            require(made == wanted, f"run again, {name} differs")


def content_or_none(path):
    return content_of(path) if path.exists() else None


OPERATIONS = [
    Operation("gm-init", INIT_C.replace("C.gm", "N.gm"), "iris.csv", interrupted="read,readv,openat"),
    Operation("gm-init --force", INIT_C.replace("C.gm", "C.gm --force"), "iris.csv C.gm", interrupted="read,readv,openat"),
    Operation("gm-init --from", "gm-init -o N.gm --from S.gmt", "S.gmt", interrupted="read,readv,openat"),
    Operation("gm-batch", "gm-batch -b 64 -m C.gm iris.csv", "iris.csv C.gm", stdout="out.gmt"),
    Operation("gm-batch --cache", "gm-batch -b 64 --cache on -m C.gm iris.csv", "iris.csv C.gm", stdout="out.gmt"),
    Operation("gm-noise", "gm-noise --dim 3", "x.gmt", stdin="x.gmt", stdout="out.gmt"),
    Operation("gm-forward", "gm-forward -m C.gm", "x.gmt C.gm", stdin="x.gmt", stdout="out.gmt"),
    Operation("gm-grad", "gm-grad -m C.gm --loss 'sqhinge(x,y) + 1e-4*l2()'", "x.gmt C.gm", stdin="x.gmt", stdout="out.gmt"),
    Operation("gm-reduce", "gm-reduce grads.gmt -", "grads.gmt", stdin="grads.gmt", stdout="out.gmt"),
    Operation("gm-allreduce", "gm-allreduce -m D.gm", "grads.gmt D.gm", stdin="grads.gmt", stdout="out.gmt"),
    Operation("gm-step", "gm-step -m D.gm --checkpoint D.gmt:1", "grads.gmt D.gm D.gmt", stdin="grads.gmt", stdout="out.gmt"),
    Operation("gm-sample", "gm-sample -m G.gm -n 9 --csv", "G.gm", stdout="out.csv", interrupted="openat"),
    Operation("gm-sample --png", "gm-sample -m G.gm -n 9 --png out.png --shape 2x2", "G.gm", interrupted="openat"),
    Operation("gm-classify", "gm-classify -m C.gm iris.csv", "iris.csv C.gm", stdout="out.csv", interrupted="read,openat"),
    Operation("gm-classify --calibrate", "gm-classify -m C.gm --calibrate iris.csv", "iris.csv C.gm", interrupted="read,openat"),
    Operation("gm-compare", "gm-compare --label species --only frechet,kernel,neighbours,columns iris.csv fake.csv",
              "iris.csv fake.csv", stdout="out.txt", interrupted="read,openat"),
    Operation("gm-show", "gm-show C.gm", "C.gm", stdout="out.txt", interrupted="openat"),
    Operation("gm-show --stats", "gm-show --stats x.gmt", "x.gmt", stdout="out.txt", interrupted="readv,openat"),
    Operation("gm-log", "gm-log -q -o run.csv", "grads.gmt run.csv", stdin="grads.gmt", interrupted="readv,openat"),
    Operation("gm-log, a new file", "gm-log -q -o run.csv", "grads.gmt", stdin="grads.gmt", interrupted="readv,openat"),
    Operation("gm-log, a new column", "gm-log -q -o narrow.csv", "grads.gmt narrow.csv", stdin="grads.gmt", interrupted="readv,openat"),
    Operation("gm-save", "gm-save -o S.gmt D.gm", "D.gm S.gmt"),
    Operation("gm-pipe", shlex.join(["gm-pipe", "-j", "2", " | ".join(gan(5))]), "iris.csv G.gm D.gm D.gmt run.csv",
              interrupted="readv,openat,futex"),
]  # fmt: skip


def each_call(place, operation, stride, check, **faults):
    """Lets calls 1, 1 + stride, ... go wrong, until there is none."""
    at, count = 1, 0
    while True:
        cwd, result, struck = operation.strike(place, at=at, **faults)
        try:
            if not struck:
                require(result.status == 0, f"without a fault: {result}")
                return f"{count} calls" if count else None
            check(cwd, result)
        except Failure as failure:
            said = " ".join(f"FAULT_{k.upper()}={v}" for k, v in faults.items())
            raise Failure(f"{failure} [{said} FAULT_AT={at}: {result}]") from failure
        at, count = at + stride, count + 1


def kill(place, operation, calls, how="kill"):
    def check(cwd, result):
        require(result.status == -9, "was not killed")
        operation.check_files(cwd, litter=True)
        operation.check_rerun(cwd, log_may_lack=9 if how == "power" else 1)

    return each_call(place, operation, 1, check, calls=calls, do=how)


SAYS = re.compile(rb"(gm-[a-z]+: [^\n]+\n)+")
OF_CACHES = re.compile(rb"gm-batch: iris.csv: (its encoded rows are kept|no cache) beside it[^\n]*\n")


def complaints(result):
    """What was said but for caches: to have one or none is no failure."""
    return OF_CACHES.sub(b"", result.said)


def fail(place, operation, calls, error, stride, on=False):
    def check(cwd, result):
        if result.status == 0:
            require(not complaints(result), "says something, but succeeds")
            for name, wanted in operation.after.items():
                require(content_of(cwd / name) == wanted, f"succeeds with another {name}")
            return
        require(result.status in (1, 2), "does not exit with 1")
        # what stays broken is told of again when the models are settled, of which gm-pipe has two
        require(SAYS.fullmatch(complaints(result)) and complaints(result).count(b"\n") <= (3 if on else 1), "does not say one line")
        # a temporary file of which nothing can be known may be another process's: it stays, and is taken over later
        operation.check_files(cwd, litter="newfstatat" in calls)
        operation.check_rerun(cwd)

    more = {"on": 1} if on else {}
    return each_call(place, operation, stride, check, calls=calls, do=error, **more)


LANE_CALLS = "socket,bind,listen,connect,accept4,getsockopt,sendmsg,recvmsg,recvfrom,memfd_create,getrandom,fallocate,fcntl,mmap"


def lane(place, calls, error, on):
    """A stage between two others, which takes from one lane and puts into another: where one of its calls fails, and all
    that follow, it does without what it cannot have, or says so."""
    line, at = "gm-noise -n 400 -b 20 --dim 300 -s 1 -o x | {} gm-noise --dim 200 -s 2 | gm-show --stats", 1
    cwd, told = place.fresh("work"), place.root / "told"
    wanted = run(line.format(""), cwd, env=STORED)
    require(wanted.status == 0 and wanted.out, f"without a fault: {wanted}")
    while True:
        told.unlink(missing_ok=True)
        faults = f"LD_PRELOAD={SHIM} FAULT_TOLD={told} FAULT_CALLS={calls} FAULT_DO={error} FAULT_AT={at} {'FAULT_ON=1' * on}"
        result = run(line.format(faults), cwd, env=STORED)
        if not told.exists() or told.stat().st_size == 0:
            return f"{at - 1} calls"
        if result.status == 0:
            require(result.out == wanted.out and not result.said, f"other records, or says something [{faults}: {result}]")
        else:
            require(SAYS.fullmatch(result.said) and b"gm-noise: " in result.said, f"does not say one line [{faults}: {result}]")
        at += 1


def in_little_memory(place, operation, megabytes):
    """An address space of some megabytes: enough, or told as any lack of memory is. Nothing waits for what will not come."""
    refused = 0
    for most in megabytes:
        cwd = place.fresh("work", *operation.files)
        limited = ["bash", "-c", f'ulimit -v {1024 * most} && exec "$@"', "_", *operation.command]
        result = run(limited, cwd, stdin=operation.stdin, stdout=operation.stdout, timeout=20)
        if result.status == 0:
            continue
        require(result.status == 1 and SAYS.fullmatch(complaints(result)) and complaints(result).count(b"\n") == 1, f"{most} MB: {result}")
        operation.check_files(cwd, litter=False)
        operation.check_rerun(cwd)
        refused += 1
    return f"{refused} of {len(megabytes)} refused"


def in_pieces(place, operation, seed):
    cwd, result, _ = operation.strike(place, pieces=seed, eintr=operation.interrupted)
    require(result.status == 0, f"FAULT_PIECES={seed} FAULT_EINTR={operation.interrupted}: {result}")
    for name, wanted in operation.after.items():
        require(content_of(cwd / name) == wanted, f"FAULT_PIECES={seed}: {name} differs")
    return "the same"
