"""The machine goes down while a model is trained: the disk has some of the pages that were changed, and another boot follows."""
import os
import pathlib
import random
import re
import shutil
import signal
import time

import stages
from common import content_of, good, require, run, step_of

PAGE = 4096
INIT = f"gm-init -o C.gm -s 3 {stages.DIGITS} features dense:64:relu dense:classes:softmax"
EVERY = 20  # steps between checkpoints
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
OTHER_BOOT = b"0" * 8 + b"-0000-0000-0000-" + b"0" * 12
COMMAND = re.compile(r"restore it: (gm-init --force -o C\.gm --from) CHECKPOINT")


def classifier(steps):
    return [
        f"gm-batch -b 32 --train C.gm -n {steps} -s 3 digits.csv",
        "gm-grad -m C.gm --loss 'ce(x,y)'",
        f"gm-step -m C.gm --checkpoint C.gmt:{EVERY}",
        "gm-log -q -o run.csv",
    ]


PIPELINE = stages.Pipeline("classifier", [INIT], classifier, ["C.gm"])


def states(attacked, dice):
    """What the file held at some moments of one run, from the settled beginning on; and the checkpoint of its end."""
    held = [(attacked.cwd / "C.gm").read_bytes()]
    running = attacked.start()
    attacked.begun(running, EVERY + 1)
    writer = running.stages[2]
    for _ in range(dice.randint(1, 3)):
        time.sleep(dice.uniform(0, 0.01))
        writer.send_signal(signal.SIGSTOP)
        held.append((attacked.cwd / "C.gm").read_bytes())
        writer.send_signal(signal.SIGCONT)
    over = not running.alive()
    for stage in running.stages:
        stage.kill()
    running.wait()
    if over:
        raise stages.TooLate
    return [state.replace(BOOT, OTHER_BOOT) for state in held]


def mixture(held, dice):
    """Each page as it was at one of the moments; mostly at one of two, as disks are written in bursts."""
    few = dice.sample(range(len(held)), 2)
    wanted = dice.random()
    return b"".join(
        held[few[dice.random() < wanted] if dice.random() < 0.95 else dice.randrange(len(held))][at : at + PAGE]
        for at in range(0, len(held[0]), PAGE)
    )


READERS = ("gm-show --step C.gm", "gm-save C.gm", "gm-forward -m C.gm <x.gmt", "gm-step -m C.gm </dev/null", "gm-sample -m C.gm -n 1")


def is_refused(attacked, settled):
    """Whether the model that is there is refused, by all with the command that restores it; or else is the settled one."""
    if run(READERS[0], attacked.cwd).status == 0:
        taken = content_of(attacked.cwd / "C.gm")
        (attacked.cwd / "C.gm").write_bytes(settled)
        require(content_of(attacked.cwd / "C.gm") == taken, "a torn model is taken for whole")
        return False
    for command in READERS:
        result = run(command, attacked.cwd)
        require(result.status == 1 and COMMAND.search(result.said.decode()), f"{command}: {result}")
    return True


def restore(attacked):
    """The command that is told, with the checkpoint: the run goes on to the end that it has without all this."""
    good(COMMAND.search(run(READERS[0], attacked.cwd).said.decode())[1] + " C.gmt", attacked.cwd)
    require(step_of(attacked.cwd, "C.gm") % EVERY == 0, "the checkpoint is of another step")
    attacked.at = [0]
    os.unlink(attacked.cwd / "run.csv")
    attacked.check_end()


def torn(place, mixtures, seed=0):
    dice = random.Random(seed)
    attacked = stages.Attacked(place, PIPELINE, 400)
    good("gm-batch -b 64 -m C.gm digits.csv >../x.gmt", attacked.cwd)
    refused = count = restored = 0
    while count < mixtures:
        held = stages.harm_in_time(attacked, lambda: states(attacked, dice))
        shutil.copy(place.root / "x.gmt", attacked.cwd)
        for _ in range(20):
            (attacked.cwd / "C.gm").write_bytes(mixture(held, dice))
            last = is_refused(attacked, held[0])
            refused += last
            count += 1
        if last:
            restore(attacked)
            restored += 1
    require(refused and restored, "nothing was torn")
    return f"{refused} of {count} refused, {restored} restored"
