"""The makefiles as users run them, a stage of their pipeline killed: make fails at once, and run again it comes to the same end."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

from common import PLAIN, ROOT, Failure, content_of, require

PATIENCE = 20  # seconds

# A makefile, its settings, how many stages the pipeline has, the models that it makes.
TARGETS = [
    ("gan", "STEPS=1500 KEEP=100", 9, "G.gm D.gm"),
    ("vae", "EPOCHS=60 KEEP=100", 4, "V.gm"),
    ("semi", "DATA=share/gm/examples/data/digits.csv LABEL=digit STEPS=400 KEEP=50", 9, "G.gm C.gm"),
    ("article", "ROWS=2000 EPOCHS=60 KEEP=100", 9, "G.gm D.gm"),
    ("discriminator", "ROWS=4000 EPOCHS=40 KEEP=100", 4, "D.gm"),
    ("classify", "EPOCHS=40 KEEP=100", 4, "C.gm"),
    ("svm", "UNITS=300 EPOCHS=60 KEEP=100", 4, "C.gm"),
]


class Run:
    """One make in a session of its own."""

    def __init__(self, place, name, settings, out):
        self.out = place.root / "targets" / out
        words = ["make", "--no-print-directory", "-f", f"share/gm/pipelines/{name}.mk", f"OUT={out}", *settings.split()]
        self.said = open(place.root / "said", "wb+")
        self.make = subprocess.Popen(words, cwd=place.root / "targets", stdout=subprocess.DEVNULL, stderr=self.said,
                                     env={**PLAIN, "GM_NO_INSTALL": "1"}, start_new_session=True)  # fmt: skip

    def members(self):
        """Its processes that still run: name, pid, whether it reads a pipe; in the order in which they were started."""
        found = []
        for proc in pathlib.Path("/proc").iterdir():
            try:
                if not proc.name.isdigit() or os.getsid(int(proc.name)) != self.make.pid:
                    continue
                name, state = (proc / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
                if not state.startswith("Z"):
                    found.append((int(proc.name), name))
            except OSError:
                continue
        return sorted(found)

    def stages(self, count):
        """The pids of the pipeline's stages, once all of them are there; none if it was over before."""
        limit = time.monotonic() + PATIENCE
        while self.make.poll() is None:
            tools = [(pid, name) for pid, name in self.members() if name.startswith("gm-")]
            if len(tools) == count and tools[-1][1] == "gm-log":
                return [pid for pid, _ in tools]
            require(time.monotonic() < limit, f"the pipeline of {count} stages does not begin: {tools}")
            time.sleep(0.002)
        return []

    def end(self):
        """Its status, and how long it took until nothing of it was left."""
        begun = time.monotonic()
        while self.members() and time.monotonic() - begun < PATIENCE:
            time.sleep(0.002)
        left = self.members()
        if left:
            os.killpg(self.make.pid, signal.SIGKILL)
        require(not left, f"hangs: {left}")
        self.said.seek(0)
        self.messages = self.said.read().decode(errors="replace").strip()
        self.said.close()
        return self.make.wait(), time.monotonic() - begun


def finish(place, name, settings, out):
    run = Run(place, name, settings, out)
    run.make.wait()
    status, _ = run.end()
    require(status == 0, f"make: {status}: {run.messages}")


def kill_stage(place, target, i):
    """True if the stage was killed while the pipeline ran."""
    name, settings, count, _ = target
    run = Run(place, name, settings, f"{name}-cut")
    pids = run.stages(count)
    if pids:
        time.sleep(0.05)
        try:
            os.kill(pids[i], signal.SIGKILL)
        except ProcessLookupError:
            pids = []
    if not pids:
        run.make.wait()
    status, seconds = run.end()
    if not pids or (status == 0 and seconds > 0.5):
        return None
    require(status == 2, f"stage {i} killed, and make ends with {status}: {run.messages}")
    return seconds


def rerun(place, target, limit):
    name, settings, count, models = target
    work = place.fresh("targets")
    (work / "share/gm").mkdir(parents=True)
    shutil.copytree(ROOT / "pipelines", work / "share/gm/pipelines")
    shutil.copytree(ROOT / "examples", work / "share/gm/examples")
    finish(place, name, settings, f"{name}-whole")
    longest = 0
    for i in range(count):
        for _ in range(20):
            seconds = kill_stage(place, target, i)
            if seconds is not None:
                break
            shutil.rmtree(work / f"{name}-cut")
        else:
            raise Failure(f"stage {i} is always over before it can be killed")
        require(seconds <= limit, f"stage {i} killed: make ends {seconds:.1f} s later")
        longest = max(longest, seconds)
    finish(place, name, settings, f"{name}-cut")
    for model in models.split():
        require(content_of(work / f"{name}-cut" / model) == content_of(work / f"{name}-whole" / model), f"{model} has other bits")
    return f"{count} stages, make ended within {longest:.2f} s"
