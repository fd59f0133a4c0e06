"""Many pipelines at once on few processors, and one for very long: the bits of one alone, nothing that grows."""
import pathlib
import time

import stages
from common import Failure, content_of, good, require, step_of


def alone(place, pipeline, steps):
    return stages.Attacked(place, pipeline, steps).wanted


def check(cwd, wanted, name):
    for model, content in wanted.items():
        require(content_of(cwd / model) == content, f"{name}: {model} ends with other bits")


def crowd(place, count, steps, seconds):
    """`count` pipelines of all kinds at once, again and again for so many seconds."""
    wanted = [alone(place, pipeline, steps) for pipeline in stages.PIPELINES]
    limit, rounds = time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < limit:
        running = []
        for i in range(count):
            pipeline = stages.PIPELINES[i % len(stages.PIPELINES)]
            cwd = place.fresh(f"crowd-{i}", "digits.csv")
            for command in pipeline.init:
                good(command, cwd)
            running.append((cwd, pipeline.name, stages.Running(pipeline.stages(steps), cwd)))
        for i, (cwd, name, run) in enumerate(running):
            statuses = run.wait(stages.PATIENCE * count)
            require(not any(statuses), f"{name}: {statuses}: {run.messages}")
            check(cwd, wanted[i % len(wanted)], name)
        rounds += 1
    return f"{rounds} times {count}"


def holdings(run):
    """Of each process: its name, kilobytes in memory, open descriptors."""
    held = []
    for stage in run.stages:
        proc = pathlib.Path(f"/proc/{stage.pid}")
        try:
            status = (proc / "status").read_text().splitlines()
            memory = [line.split()[1] for line in status if line.startswith("VmRSS")]
            held.append((stage.args[0], int(memory[0]), len(list((proc / "fd").iterdir()))))
        except (OSError, IndexError) as gone:
            raise stages.TooLate from gone
    return held


def endless(place, steps):
    """A pipeline of many records holds as much at the end as it did early on, and has the bits of gm-pipe's run."""
    pipes, _, fused = stages.PIPELINES
    wanted = alone(place, fused, steps)
    for _ in range(5):
        try:
            return watched(place, pipes, steps, wanted)
        except stages.TooLate:
            continue
    raise Failure("is always over before it can be looked at")


def watched(place, pipes, steps, wanted):
    cwd = place.fresh("endless", "digits.csv")
    for command in pipes.init:
        good(command, cwd)
    run, held = stages.Running(pipes.stages(steps), cwd), []
    for part in (0.2, 0.6): # late, and with all of them still there
        while step_of(cwd, "G.gm") < part * steps and run.alive():
            time.sleep(0.01)
        try:
            held.append(holdings(run))
        except stages.TooLate:
            run.wait(60 + steps / 100)
            raise
    statuses = run.wait(60 + steps / 100)
    require(not any(statuses), f"{statuses}: {run.messages}")
    for (name, before, opened), (_, after, open_now) in zip(*held):
        require(after <= before + 512, f"{name} grew from {before} to {after} kB")
        require(open_now == opened, f"{name} had {opened} descriptors, then {open_now}")
    check(cwd, wanted, "pipes")
    return f"{steps} records, {sum(kb for _, kb, _ in held[1])} kB in all"
