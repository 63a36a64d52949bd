"""Cut the power of disks at random moments; see the package."""

from __future__ import annotations

import argparse
import bisect
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.powercut.fetching import body_of, fails
from tests.powercut.recorded_disk import Recording, recorded_disk
from tests.support.loop_disk import run
from tests.support.processes import ROOT


class FileSystem(NamedTuple):
    """How to make it, what repairs it, and what it promises.

    ``journal``: without one it is repaired after each power cut, and blocks that it wrote together
    must be kept or lost together. ``keeps``: whether a lost file is a failure of ours; the
    package tells of the one of which nobody can say.
    """

    make: tuple[str, ...]
    size: int  # MiB
    repair: tuple[str, ...] = ()
    journal: bool = True
    keeps: bool = True


_REPAIR = ("e2fsck", "-f", "-y")
_EAGER = ("-E", "lazy_itable_init=0,lazy_journal_init=0")
FILE_SYSTEMS = {
    "ext2": FileSystem(("mkfs.ext2", "-q"), 256, _REPAIR, journal=False),
    "ext4": FileSystem(("mkfs.ext4", "-q", *_EAGER), 256, _REPAIR),
    "ext4-without-journal": FileSystem(
        ("mkfs.ext4", "-q", "-O", "^has_journal", *_EAGER), 256, _REPAIR, journal=False
    ),
    "ext4-fast-commit": FileSystem(
        ("mkfs.ext4", "-q", "-O", "fast_commit", *_EAGER), 256, _REPAIR, keeps=False
    ),
    "xfs": FileSystem(("mkfs.xfs", "-q"), 384),
    "btrfs": FileSystem(("mkfs.btrfs", "-q"), 384),
}
SURVIVES = {
    "all": lambda random: True,
    "nothing": lambda random: False,
    "half": lambda random: random.random() < 0.5,
    "most": lambda random: random.random() < 0.9,
}
WITHOUT_JOURNAL = ["all", "nothing"]


class Figures(NamedTuple):
    """What the cuts of one file system showed."""

    cuts: int
    answered: int  # in all, before each of the cuts
    missing: int
    wrong: int
    repaired: int  # those that could not be mounted before
    unmountable: int


def fetch_onto(folder, seconds):
    """Fetch files into the folder, and give when each of them was answered, in order."""
    landed = folder / "landed"
    landed.mkdir()
    run("sync", "-f", landed)
    words = [sys.executable, "-m", "tests.powercut.fetching", landed, str(seconds)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answers = [line.split() for line in done.stdout.splitlines()]
    return [(float(when), name) for when, name in answers]


@contextmanager
def mounted(system, image, folder):
    """Mount an image as a boot does; tells whether it could only be mounted after a repair."""
    repaired = False
    if not system.journal:
        repair(system, image)
    try:
        run("mount", "-o", "loop", image, folder)
    except OSError:
        if not system.repair:
            raise
        repair(system, image)
        run("mount", "-o", "loop", image, folder)
        repaired = True
    try:
        yield repaired
    finally:
        run("umount", folder)


def repair(system, image):
    done = subprocess.run([*system.repair, image], capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:  # 1: it is repaired
        raise OSError(done.stdout + done.stderr)


def look(landed, answered):
    """Give the names of files that are missing, and of those that are wrong."""
    there = {path.name: path for path in landed.iterdir() if not path.name.startswith(".")}
    wrong = {
        name for name, path in there.items() if fails(name) or path.read_bytes() != body_of(name)
    }
    return set(answered) - set(there), wrong


def cut_power(name, system, work, *, cuts, seconds, random):
    """Fetch onto a new disk of this kind, cut its power, and give the Figures."""
    image, folder = work / "image", work / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(system.size * 2**20)
    run(*system.make, image)
    with recorded_disk(work, image, folder) as file:
        answers = fetch_onto(folder, seconds)
    recording = Recording(image, file, work)
    first = bisect.bisect([record.when for record in recording.records], answers[0][0])
    positions = sorted(random.randrange(first, len(recording.records)) for _ in range(cuts))
    told = missing = wrong = repairs = unmountable = 0
    for position in positions:
        kept = random.choice([*SURVIVES] if system.journal else WITHOUT_JOURNAL)
        cut = recording.cut(position, lambda kept=kept: SURVIVES[kept](random))
        when = recording.records[position].when
        answered = [each for at, each in answers if at < when]
        told += len(answered)
        try:
            with mounted(system, cut, folder) as repaired:
                lost, bad = look(folder / "landed", answered)
        except OSError as error:
            unmountable += 1
            say(f"{name}: cut {position} ({kept} kept): {error}")
            continue
        repairs += repaired
        missing += len(lost)
        wrong += len(bad)
        if repaired or lost or bad:
            say(
                f"{name}: cut {position} ({kept} kept{', repaired' * repaired}): {len(lost)} of "
                f"{len(answered)} missing, such as {sorted(lost)[-3:]}; wrong {sorted(bad)[-3:]}"
            )
    return Figures(len(positions), told, missing, wrong, repairs, unmountable)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main():
    """Do as the package says; the status is 1 if a file was missing or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.powercut")
    parser.add_argument("--cuts", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--seed", default="1")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(FILE_SYSTEMS))
    words = parser.parse_args()
    failed = False
    for name in words.systems or FILE_SYSTEMS:
        with tempfile.TemporaryDirectory() as work:
            figures = cut_power(
                name,
                FILE_SYSTEMS[name],
                Path(work),
                cuts=words.cuts,
                seconds=words.seconds,
                random=Random(f"{words.seed} {name}"),
            )
        say(f"{name}: {figures}")
        if FILE_SYSTEMS[name].keeps:
            failed |= bool(figures.missing or figures.wrong or figures.unmountable)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
