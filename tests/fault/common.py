"""What the attacks share: the tools, small models and streams to work on, contents that are compared, results."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GM_BUILD", ROOT / "build")).resolve()
BIN = BUILD / "tests/dynamic"  # nothing can be preloaded into tools that hold the C library
SHIM = BUILD / "tests/fault/shim.so"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk's syncs take most of the time
MODEL_MAGIC = b"gm-model"
# A build under sanitizers: its runtime comes behind the shim, and what it finds is told by a status of its own.
SANITIZED = bool(os.environ.get("GM_SANITIZED"))
SANITIZERS = {"ASAN_OPTIONS": "verify_asan_link_order=0:allocator_may_return_null=1:symbolize=0:exitcode=23"} if SANITIZED else {}
PLAIN = {**os.environ, "LC_ALL": "C", "GM_LEVEL": "3", **SANITIZERS, "PATH": f"{BIN}:{os.environ['PATH']}"}
STORED = {"GM_LEVEL": "store"}  # as pipes are by themselves, and with lanes beside them

IRIS = "--data iris.csv --label species"
INIT_G = f"gm-init -o G.gm -s 1 {IRIS} --scale range:-1,1 4 dense:8:leaky dense:features:tanh"
INIT_D = f"gm-init -o D.gm -s 2 {IRIS} --scale range:-1,1 features dense:8:leaky dropout:0.2 dense:1:sigmoid"
INIT_C = f"gm-init -o C.gm -s 3 {IRIS} --optimizer adam:lr=0.01 features dense:8:relu dense:classes"


def gan(steps):
    return [
        f"gm-batch -b 16 --train G.gm,D.gm -n {steps} -s 3 iris.csv",
        "gm-noise --dim 4",
        "gm-forward -m G.gm -i z -o fake",
        "gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)'",
        "gm-step -m D.gm --checkpoint D.gmt:1",
        "gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad",
        "gm-grad -m G.gm -i z --upstream fake",
        "gm-step -m G.gm",
        "gm-log -q -o run.csv",
    ]


class Failure(Exception):
    """An attack got through."""


def require(condition, text):
    if not condition:
        raise Failure(text)


class Result:
    def __init__(self, status, said, out):
        self.status, self.said, self.out = status, said, out

    def __str__(self):
        return f"status {self.status}, {self.said.decode(errors='replace').strip() or 'silent'}"


def run(command, cwd, stdin=None, stdout=None, env=None, timeout=60):
    """A line of shell, without a shell where it is one command."""
    words = command if isinstance(command, list) else ["bash", "-o", "pipefail", "-c", command]
    source = open(cwd / stdin, "rb") if stdin else subprocess.DEVNULL
    sink = open(cwd / stdout, "wb") if stdout else subprocess.PIPE
    try:
        done = subprocess.run(
            words, cwd=cwd, stdin=source, stdout=sink, stderr=subprocess.PIPE, env={**PLAIN, **(env or {})}, timeout=timeout
        )
    except subprocess.TimeoutExpired as hung:
        raise Failure(f"hangs: {command}") from hung
    finally:
        for file in (source, sink):
            if not isinstance(file, int):
                file.close()
    return Result(done.returncode, done.stderr, done.stdout or b"")


def good(command, cwd, **more):
    result = run(command, cwd, **more)
    require(result.status == 0, f"{command}: {result}")
    return result.out


def step_of(cwd, model):
    return int(good(["gm-show", "--step", model], cwd))


def content_of(path):
    """A file's bytes; of a model (or a checkpoint) what it holds, without who made it and when."""
    raw = path.read_bytes()
    if raw[:8] != MODEL_MAGIC:
        return raw
    return good(["gm-save", "--no-provenance", path.name], path.parent, env=STORED)


def is_cache(name):
    """A cache may be there or not, and has the time of its file in it: what tools make of it tells whether it is whole."""
    return name.endswith(".gmcache")


def contents(cwd):
    return {path.name: content_of(path) for path in sorted(cwd.iterdir()) if not is_cache(path.name)}


class Place:
    """A directory with small models at step 3 and streams for them; copies of it are attacked."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gm-fault.", dir=MEMORY))
        self.base = self.root / "base"
        self.base.mkdir()
        for data in ("iris.csv", "digits.csv"):
            shutil.copy(ROOT / "examples/data" / data, self.base)
        for command in (INIT_G, INIT_D, INIT_C):
            good(command, self.base)
        good(" | ".join(gan(3)), self.base)
        good("gm-batch -b 16 --train C.gm -n 40 iris.csv | gm-grad -m C.gm --loss 'sqhinge(x,y)' | gm-step -m C.gm | gm-log -q", self.base)
        good("gm-save -o S.gmt C.gm", self.base)
        good("gm-batch -b 64 -m C.gm iris.csv >x.gmt", self.base, env=STORED)
        good("gm-sample -m G.gm -n 40 --csv >fake.csv", self.base)
        header, *rows = (self.base / "run.csv").read_text().splitlines()
        (self.base / "narrow.csv").write_text("step,loss/G\n" + "".join(f"{row.split(',')[0]},0.5\n" for row in rows))
        # three steps of gradients and of losses, which a copy of the models made
        self.fresh("work", "iris.csv", "G.gm", "D.gm")
        good("gm-batch -b 16 --train D.gm -n 6 iris.csv | gm-grad -m D.gm --loss 'bce(x,1)' | tee ../base/grads.gmt | "
             "gm-step -m D.gm | gm-log -q", self.root / "work")

    def fresh(self, name, *files):
        cwd = self.root / name
        shutil.rmtree(cwd, ignore_errors=True)
        cwd.mkdir()
        for file in files:
            shutil.copyfile(self.base / file, cwd / file)
        return cwd

    def remove(self):
        shutil.rmtree(self.root)


passed = failed = 0


def attack(name, work):
    """Runs one attack and prints its line; `work` returns what it did, or nothing if there was nothing to do."""
    global passed, failed
    try:
        done = work()
        if done:
            print(f"ok - {name}: {done}", flush=True)
            passed += 1
    except Failure as failure:
        print(f"not ok - {name}: {failure}", flush=True)
        failed += 1


def finish():
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)
