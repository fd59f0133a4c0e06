"""Pipelines whose stages are killed, stopped, cut off or disturbed, and run again: they end as if nothing had happened."""
import os
import random
import shlex
import signal
import subprocess
import time

from common import PLAIN, STORED, Failure, content_of, good, require, run, step_of

PATIENCE = 20  # seconds for what takes a moment on a machine that does nothing else
LIMIT = 2  # seconds in which a pipeline ends that lost a stage, on such a machine


class Pipeline:
    def __init__(self, name, init, stages, models):
        self.name, self.init, self.stages, self.models = name, init, stages, models


# Records of digits are large enough that a pipe holds only some of them: every stage has work to do until the end.
DIGITS = "--data digits.csv --label digit --scale range:-1,1"


def gan(steps):
    return [
        f"gm-batch -b 64 --train G.gm,D.gm -n {steps} -s 3 digits.csv",
        "gm-noise --dim 8",
        "gm-forward -m G.gm -i z -o fake",
        "gm-grad -m D.gm --loss 'bce(x,1) + bce(fake,0)'",
        "gm-step -m D.gm --checkpoint D.gmt:50",
        "gm-grad -m D.gm --loss 'bce(fake,1)' --input-grad fake --no-param-grad",
        "gm-grad -m G.gm -i z --upstream fake",
        "gm-step -m G.gm",
        "gm-log -q -o run.csv",
    ]


def vae(steps):
    return [
        f"gm-batch -b 64 --train E.gm,P.gm -n {steps} -s 3 digits.csv",
        "gm-forward -m E.gm -i x -o z",
        "gm-grad -m P.gm --loss 'mse(z,x)' --input-grad z",
        "gm-step -m P.gm",
        "gm-grad -m E.gm -i x --upstream z --loss 'kl(x)'",
        "gm-step -m E.gm",
        "gm-log -q -o run.csv",
    ]


INIT_G = f"gm-init -o G.gm -s 1 {DIGITS} 8 dense:16:leaky dense:features:tanh"
INIT_D = f"gm-init -o D.gm -s 2 {DIGITS} features dense:16:leaky dropout:0.2 dense:1:sigmoid"
INIT_E = f"gm-init -o E.gm -s 1 {DIGITS} features dense:16:tanh dense:4 gaussian:2"
INIT_P = f"gm-init -o P.gm -s 2 {DIGITS} 2 dense:16:tanh dense:features"

PIPELINES = [
    Pipeline("GAN", [INIT_G, INIT_D], gan, ["G.gm", "D.gm"]),
    Pipeline("VAE", [INIT_E, INIT_P], vae, ["E.gm", "P.gm"]),
    Pipeline("gm-pipe", [INIT_G, INIT_D], lambda steps: [shlex.join(["gm-pipe", "-j", "2", " | ".join(gan(steps))])],
             ["G.gm", "D.gm"]),
]  # fmt: skip


class Running:
    """A pipeline as a shell starts it, its processes at hand. `cut`: (stage, bytes) that `head -c` lets through."""

    def __init__(self, commands, cwd, cut=None):
        words = [shlex.split(command) for command in commands]
        if cut:
            # a head that keeps bytes back would hold a lockstep up, as any filter that buffers does
            words.insert(cut[0] + 1, ["stdbuf", "-o0", "head", "-c", str(cut[1])])
        self.said = open(cwd / "said", "wb+")
        self.stages, source = [], subprocess.DEVNULL
        for i, word in enumerate(words):
            sink = subprocess.DEVNULL if i + 1 == len(words) else subprocess.PIPE
            self.stages.append(subprocess.Popen(word, cwd=cwd, stdin=source, stdout=sink, stderr=self.said, env={**PLAIN, **STORED}))
            if source != subprocess.DEVNULL:
                source.close()
            source = self.stages[-1].stdout

    def alive(self):
        return [stage for stage in self.stages if stage.poll() is None]

    def wait(self, seconds=PATIENCE):
        """The statuses of all stages; none may stay behind."""
        limit = time.monotonic() + seconds
        while self.alive() and time.monotonic() < limit:
            time.sleep(0.002)
        hung = self.alive()
        for stage in hung:
            stage.kill()
            stage.wait()
        self.said.seek(0)
        self.messages = self.said.read().decode(errors="replace").strip()
        self.said.close()
        require(not hung, f"hangs: {[' '.join(stage.args) for stage in hung]}; said: {self.messages}")
        return [stage.returncode for stage in self.stages]


class TooLate(Exception):
    """The run was over before it could be harmed: on a busy machine that happens, and it is tried again."""


class Attacked:
    """A pipeline on fresh models, and what an uninterrupted run makes of them."""

    def __init__(self, place, pipeline, steps):
        self.place, self.pipeline, self.steps = place, pipeline, steps
        self.commands = pipeline.stages(steps)
        cwd = self.renew()
        statuses = self.start().wait(PATIENCE + steps / 100)
        require(not any(statuses), f"without an attack: {statuses}")
        self.wanted = {model: content_of(cwd / model) for model in pipeline.models}
        self.renew()

    def renew(self):
        self.cwd = self.place.fresh("run", "digits.csv")
        for command in self.pipeline.init:
            good(command, self.cwd)
        self.at = [0] * len(self.pipeline.models)
        return self.cwd

    def start(self, cut=None):
        return Running(self.commands, self.cwd, cut)

    def look(self):
        """Every model opens, and no step has fallen."""
        now = [step_of(self.cwd, model) for model in self.pipeline.models]
        require(all(a <= b for a, b in zip(self.at, now)), f"steps fell from {self.at} to {now}")
        self.at = now
        return now

    def begun(self, running, step):
        """Waits until the run is well under way."""
        limit = time.monotonic() + PATIENCE
        while min(self.look()) < step:
            require(time.monotonic() < limit, f"does not get to step {step}")

    def check_end(self):
        """Run again, it comes to the uninterrupted end."""
        running = self.start()
        statuses = running.wait()
        require(not any(statuses), f"run again: {statuses}: {running.messages}")
        require(min(self.look()) == max(self.at) == self.steps, f"ends at steps {self.at}")
        for model, wanted in self.wanted.items():
            require(content_of(self.cwd / model) == wanted, f"{model} ends with other bits")


def random_kills(place, pipeline, steps, kills, seed):
    """A random process after up to 200 ms, again and again; each time the run goes on from where it was."""
    dice = random.Random(seed)
    attacked, count, runs = Attacked(place, pipeline, steps), 0, 0
    while count < kills:
        attacked.renew()
        runs += 1
        while count < kills and min(attacked.look()) < steps:
            running = attacked.start()
            time.sleep(dice.uniform(0, 0.2))
            victim = dice.choice(running.stages)
            if victim.poll() is None:
                victim.kill()
            statuses = running.wait()
            count += -signal.SIGKILL in statuses
        attacked.check_end()
    return f"{count} kills in {runs} runs"


def harm_in_time(attacked, harm):
    for _ in range(20):
        attacked.renew()
        try:
            return harm()
        except TooLate:
            continue
    raise Failure("is always over before it can be harmed")


def each_stage(place, pipeline, steps, harm):
    attacked = Attacked(place, pipeline, steps)
    for i, command in enumerate(attacked.commands):
        try:
            harm_in_time(attacked, lambda: harm(attacked, i))
            attacked.check_end()
        except Failure as failure:
            raise Failure(f"stage {i} ({command}): {failure}") from failure
    return f"{len(attacked.commands)} stages"


def killed(limit):
    """Within so many seconds all of it has ended."""
    def harm(attacked, i):
        kill_one(attacked, i, limit)

    return harm


def kill_one(attacked, i, limit):
    running = attacked.start()
    attacked.begun(running, 5)
    running.stages[i].kill()
    statuses = running.wait(limit)
    if not any(statuses):
        raise TooLate
    require(statuses[i] == -signal.SIGKILL, f"ends otherwise: {statuses}: {running.messages}")
    attacked.look()


def stopped(seconds):
    def harm(attacked, i):
        running = attacked.start()
        attacked.begun(running, 5)
        running.stages[i].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        over = running.stages[i].poll() is not None
        running.stages[i].send_signal(signal.SIGCONT)
        statuses = running.wait()
        require(not any(statuses), f"did not go on: {statuses}: {running.messages}")
        if over:
            raise TooLate

    return harm


def cut(after, limit):
    def harm(attacked, i):
        if i + 1 == len(attacked.commands):
            return  # it writes nothing
        running = attacked.start(cut=(i, after))
        statuses = running.wait(limit)
        require(any(statuses[i + 2 :]), f"nobody noticed: {statuses}")
        attacked.look()

    return harm


def second_writer(attacked):
    running = attacked.start()
    attacked.begun(running, 5)
    second = run(["gm-step", "-m", "D.gm"], attacked.cwd)
    replaced = run("gm-init --force -o D.gm 2 dense:1", attacked.cwd)
    if not all(stage.poll() is None for stage in running.stages[3:]):
        running.wait()
        raise TooLate
    require(second.status == 1 and b"held by another process" in second.said, f"a second gm-step: {second}")
    require(replaced.status == 1 and b"is being trained" in replaced.said, f"gm-init --force: {replaced}")
    require(not any(running.wait()), f"was disturbed: {running.messages}")
    attacked.check_end()


def once(place, steps, harm):
    attacked = Attacked(place, PIPELINES[0], steps)
    harm_in_time(attacked, lambda: harm(attacked))
    return "as it should be"


def many_readers(attacked, readers):
    good("gm-batch -b 64 -m D.gm digits.csv >x.gmt", attacked.cwd)
    running = attacked.start()
    attacked.begun(running, 5)
    commands = ("gm-sample -m G.gm -n 50", "gm-save D.gm", "gm-show G.gm", "gm-forward -m D.gm --frozen")
    rounds = 0
    while running.alive():
        group = [
            subprocess.Popen(shlex.split(commands[i % 4]), cwd=attacked.cwd, env=PLAIN, stdin=open(attacked.cwd / "x.gmt", "rb"),
                             stdout=subprocess.DEVNULL)
            for i in range(readers)
        ]  # fmt: skip
        require(not any(reader.wait(PATIENCE) for reader in group), "a reader failed")
        rounds += 1
    require(not any(running.wait()), f"was disturbed: {running.messages}")
    attacked.check_end()
    if rounds == 0:
        raise TooLate


def replaced(attacked):
    """Another file comes to a model's name while it is trained: the run fails and says so, and the file stays as it is."""
    good(INIT_D.replace("D.gm", "other.gm"), attacked.cwd)
    other = content_of(attacked.cwd / "other.gm")
    running = attacked.start()
    attacked.begun(running, 5)
    os.replace(attacked.cwd / "other.gm", attacked.cwd / "D.gm")
    statuses = running.wait()
    if not any(statuses):
        raise TooLate
    require(any(statuses) and "D.gm: was removed or replaced" in running.messages, f"{statuses}: {running.messages}")
    require(content_of(attacked.cwd / "D.gm") == other, "the new file was written to")
