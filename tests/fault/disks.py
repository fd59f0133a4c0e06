"""Full disks: /dev/full for what each tool writes, and a small tmpfs for models, checkpoints and logs."""
import os
import shutil
import subprocess

from calls import OPERATIONS, SAYS
from common import INIT_C, content_of, contents, good, require, run


def refuses(command, cwd, **more):
    result = run(command, cwd, **more)
    require(result.status == 1 and SAYS.fullmatch(result.said) and result.said.count(b"\n") == 1, f"{command}: {result}")
    require(b"No space left on device" in result.said, f"does not say what is the matter: {result}")


def full_output(place, operation):
    """Standard output of one operation is /dev/full."""
    operation.prepare(place)
    cwd = place.fresh("work", *operation.files)
    (cwd / "full").symlink_to("/dev/full")
    refuses(operation.command, cwd, stdin=operation.stdin, stdout="full")
    (cwd / "full").unlink()
    operation.check_files(cwd, litter=False)
    operation.check_rerun(cwd)
    return "refused"


class SmallDisk:
    """A tmpfs of some pages, where mounting is permitted."""

    def __init__(self, place, pages):
        self.path = place.fresh("disk")
        self.mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={4 * pages}k", "tmpfs", self.path], stderr=subprocess.DEVNULL
        ).returncode == 0  # fmt: skip

    def __enter__(self):
        return self.path

    def __exit__(self, *failure):
        subprocess.run(["umount", self.path], check=True)

    def fill(self, left=0):
        """Takes what is free, but for some pages."""
        with open(self.path / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                filler.truncate(filler.tell() - 4096 * left)

    def free(self):
        os.unlink(self.path / "filler")


def no_room_for_model(place, disk):
    shutil.copy(place.base / "iris.csv", disk.path)
    needed = (place.base / "C.gm").stat().st_size // 4096
    for left in range(needed):
        disk.fill(left)
        refuses(INIT_C, disk.path)
        require(sorted(os.listdir(disk.path)) == ["filler", "iris.csv"], f"leaves {os.listdir(disk.path)}")
        disk.free()
    good(INIT_C, disk.path)
    # a model that is there stays as it is if there is no room for the one that replaces it
    before = content_of(disk.path / "C.gm")
    disk.fill()
    refuses(INIT_C.replace("C.gm", "C.gm --force -s 9"), disk.path)
    require(content_of(disk.path / "C.gm") == before, "the old model is not as it was")


def no_room_for_checkpoint(place, disk):
    for name in ("D.gm", "D.gmt", "grads.gmt"):
        shutil.copy(place.base / name, disk.path)
    command = "gm-step -m D.gm --checkpoint D.gmt:1 <grads.gmt"
    wanted = place.fresh("work", "D.gm", "D.gmt", "grads.gmt")
    good(f"{command} >/dev/null", wanted)
    old = content_of(disk.path / "D.gmt")
    disk.fill()
    refuses(f"{command} >/dev/null", disk.path)
    require(content_of(disk.path / "D.gmt") == old, "the old checkpoint is not as it was")
    require(not (disk.path / "D.gmt.tmp").exists(), "leaves D.gmt.tmp")
    good("gm-show --step D.gm", disk.path)
    disk.free()
    good(f"{command} >/dev/null", disk.path)
    require(contents(disk.path) == contents(wanted), "with room again, the run ends with other bits")


def no_room_for_training(place, disk):
    """All space is the model's from the start: a full disk does not hold training up."""
    for name in ("D.gm", "grads.gmt"):
        shutil.copy(place.base / name, disk.path)
    wanted = place.fresh("work", "D.gm", "grads.gmt")
    good("gm-step -m D.gm <grads.gmt >/dev/null", wanted)
    # a copy with holes gets its space when it is opened to be trained
    good("cp --sparse=always D.gm holes.gm && mv holes.gm D.gm", disk.path)
    good("gm-step -m D.gm </dev/null || true", disk.path)
    disk.fill()
    good("gm-step -m D.gm <grads.gmt >/dev/null", disk.path)
    require(content_of(disk.path / "D.gm") == content_of(wanted / "D.gm"), "ends with other bits")


def no_room_for_log(place, disk):
    for name in ("grads.gmt", "run.csv"):
        shutil.copy(place.base / name, disk.path)
    command = "gm-log -q -o run.csv <grads.gmt"
    rows = (place.base / "run.csv").read_bytes()
    # the log stands at the end of a page, and there is no further one
    (disk.path / "run.csv").write_bytes(rows.replace(b"\n", b" " * (4096 - len(rows)) + b"\n", 1))
    before = (disk.path / "run.csv").read_bytes()
    disk.fill()
    refuses(command, disk.path)
    require((disk.path / "run.csv").read_bytes().startswith(before), "rows of the log are lost")
    disk.free()
    good(command, disk.path)
    require(len((disk.path / "run.csv").read_bytes().splitlines()) == 7, "rows are missing")


ROOMS = {
    "a new model": (no_room_for_model, 24),
    "a checkpoint": (no_room_for_checkpoint, 40),
    "training": (no_room_for_training, 40),
    "a log": (no_room_for_log, 24),
}


def small(place, work, pages):
    disk = SmallDisk(place, pages)
    if not disk.mounted:
        return None
    with disk:
        work(place, disk)
    return "refused, and with room again as it would be" if work is not no_room_for_training else "not needed"
