"""A disk that is full at every write, and one that forgets at a power cut what was not synced."""

import subprocess
from pathlib import Path
from random import Random

import pytest
from power import Disk

from campaign import agents
from campaign.child import start
from campaign.kills import LONGEST, Street, contents, curve, finished
from campaign.outcome import Outcome
from gtr.report import Run


def full(count: int, seed: int, place: Path) -> Outcome:
    """Trains on disks of so many sizes, from one that holds nothing to one that holds the run; then makes room.

    What a size cannot hold ends the run with one message, and the same run ends as any other once there is room.
    """
    outcome, random = Outcome(), Random(seed)
    street = Street(place, {})
    if not finished(street, "straight", outcome):
        return outcome
    straight = contents(place / "runs" / "straight")
    whole = sum(file.stat().st_size for file in (place / "runs" / "straight").rglob("*") if file.is_file())
    agents.model(place)
    for number in range(count):
        disk = place / f"disk{number}"
        disk.mkdir()
        size = random.randint(8 << 10, int(1.3 * whole))
        if not mounted(disk, size):
            outcome.measured = {"not tried": "this machine lets nobody mount a disk"}
            return outcome
        try:
            tried(outcome, street, disk, size, straight, f"seed {seed}, {size:,} bytes")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    outcome.measured = {"largest disk": f"{1.3 * whole / 1e6:.0f} MB"}
    return outcome


def mounted(disk: Path, size: int) -> bool:
    """Mounts a disk of so many bytes, where this machine lets us."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def tried(outcome: Outcome, street: Street, disk: Path, size: int, straight: dict, when: str) -> None:  # type: ignore[type-arg]
    """One disk."""
    outcome.tried += 1
    words = [*street.words("full"), "--runs", str(disk)]
    process = start(words, log := street.place / "log0")
    process.join(LONGEST)
    said = log.read_text(errors="replace")
    hung = process.exitcode is None
    process.kill()
    outcome.expect(process.exitcode in (0, 1, 2), f"{when}: ends with {process.exitcode}:\n{said[-1500:]}")
    outcome.expect(not hung and "Traceback" not in said, f"{when}: {said[-1500:]}")
    run = disk / "full"
    if not (run / "config.json").exists():
        return
    found = curve(run)
    outcome.expect(found == straight["metrics"][: len(found)], f"{when}: metrics are torn")
    outcome.expect(not Run(run).problems, f"{when}: {Run(run).problems}")
    subprocess.run(["mount", "-o", f"remount,size={8 * size + (64 << 20)}", str(disk)], check=True, capture_output=True)
    again = start(["train", "--resume", str(run)], log)
    again.join(LONGEST)
    said = log.read_text(errors="replace")[-1500:]
    outcome.expect(again.exitcode == 0, f"{when}: with room again it ends with {again.exitcode}: {said}")
    if again.exitcode == 0:
        outcome.expect(contents(run)["metrics"] == straight["metrics"], f"{when}: goes on otherwise")


def power(count: int, seed: int, place: Path) -> Outcome:
    """Power cuts between any two calls that bring something to the disk; of what was not synced any part is lost."""
    from report.test_durable import Promised, cut_once, settings, train, whole

    from gtr.report import RunFolder

    outcome, random = Outcome(), Random(seed)
    patch = pytest.MonkeyPatch()
    (place / "once").mkdir(parents=True)
    with patch.context() as inner:
        disk = Disk(place / "once", inner)
        with RunFolder.create(settings(place / "once")) as folder:
            train(folder, 0, Promised())
        disk.close()
    undisturbed = whole(place / "once" / "run")
    for number in range(count):
        cut = random.randrange(disk.calls)
        what = f"power: cut {number} of seed {seed}, before call {cut}"
        outcome.call(lambda n=number, c=cut: cut_once(place / f"cut{n}", random, c, patch, undisturbed), (), what, 60.0)
    outcome.measured = {"calls in a run": str(disk.calls)}
    return outcome
