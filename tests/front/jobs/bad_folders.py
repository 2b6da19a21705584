"""Runs work with a cache folder that is bad in a way that only the system can make, on mounts that nobody else sees.

    unshare -rm python tests/front/jobs/bad_folders.py FOLDER

One line of JSON for each case: what the work gave, its warnings, what was left over, and what the next start gave.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import inlay
import PIL.Image
import torch
from inlay.graph_runtime import BadInput, Port, node
from inlay.graph_runtime.core import database
from inlay.graph_runtime.front.python import preparation
from inlay.nodes.ports import Image

Number = Annotated[object, Port("NUMBER", "a tensor")]
SIZE = 60_000  # numbers of a result: 240 kB
NODES = 5


class One(NamedTuple):
    x: Number


class Shown(NamedTuple):
    image: Image


@node("bad.begin")
def begin(seed: int = 0) -> One:
    """A tensor, which takes long enough to be worth keeping."""
    time.sleep(0.04)
    return One(torch.arange(SIZE, dtype=torch.float32).reshape(1, 100, 200, 3) + seed)


@node("bad.next")
def following(a: Number, by: int = 0) -> One:
    """Another one."""
    time.sleep(0.04)
    return One((a * 1.25 + by).sin())


@node("bad.show")
def show(a: Number, image: Image, fail: bool = False) -> Shown:
    """A picture of it, beside another one."""
    if fail:
        raise BadInput("fail", found="true", expected="false", fix="leave it out")
    return Shown(torch.cat([a[:, :20, :30].abs(), image], dim=2))


def module() -> types.ModuleType:
    made = types.ModuleType("bad_nodes")
    made.begin, made.following, made.show = begin, following, show
    return made


FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "seed": "n0.seed", "fail": "show.fail"},
    "nodes": {"photo": {"type": "image.load", "params": {"path": "x.png"}}, "n0": {"type": "bad.begin"}}
    | {f"n{i}": {"type": "bad.next", "params": {"by": i}, "inputs": {"a": f"n{i - 1}.x"}} for i in range(1, NODES)}
    | {
        "show": {"type": "bad.show", "inputs": {"a": f"n{NODES - 1}.x", "image": "photo.image"}},
        "save": {"type": "image.save", "inputs": {"image": "show.image"}},
    },
    "outputs": {"image": "show.image"},
}


def shell(words: str) -> None:
    """Run a command line."""
    subprocess.run(words, shell=True, check=True, stderr=subprocess.DEVNULL)


def work(kind: str, out: Path, middle: Callable[[], None] | None = None) -> dict[str, object]:
    """Do one kind of work; what it gave, and what it said."""
    begun: list[str] = []
    photos = [_photo(out.parent / f"{number}.png", number) for number in (1, 2)]

    def hear(event: object) -> None:
        if type(event).__name__ == "NodeStarted":
            begun.append(event.node)
            if begun.count("n2") == 1 and event.node == "n2" and middle is not None:
                middle()

    common = {"out": out, "nodes": [module()], "listeners": [hear]}
    error = ""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", inlay.InlayWarning)
        try:
            if kind == "sweep":
                inlay.sweep(FLOW, grid={"seed": [1, 2]}, image=photos[0], **common)
            else:
                image = photos if kind == "job" else photos[0]
                inlay.run(FLOW, image=image, seed=1, fail=kind == "failing", **common)
        except inlay.InlayError as found:
            error = str(found).splitlines()[0]
    pictures = [path for path in sorted(out.rglob("*.png")) if "sheet" not in path.name]
    return {
        "pictures": [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in pictures],
        "warnings": [str(one.message) for one in said if issubclass(one.category, inlay.InlayWarning)],
        "error": error,
        "begun": len(begun),
    }


class Case:
    """A way in which a folder is bad: before the work, or from its middle on; `mend` makes it good again."""

    def __init__(
        self, kinds: str, size: str = "size=20m", before: str = "true", middle: str = "", mend: str = "true"
    ) -> None:
        self.kinds, self.size, self.before, self.middle, self.mend = kinds.split(), size, before, middle, mend


CASES = {
    "good": Case("run failing job sweep"),
    "read-only": Case("run job sweep", before="mount -o remount,ro {0}", mend="mount -o remount,rw {0}"),
    "full from the start": Case("run", before="cat /dev/zero > {0}/filler 2>/dev/null || true", mend="rm {0}/filler"),
    "full at the second result": Case("run failing", size="size=400k", mend="mount -o remount,size=20m {0}"),
    "without room for names": Case("run job", size="size=20m,nr_inodes=4", mend="mount -o remount,nr_inodes=1000 {0}"),
    "removed in the middle": Case("run job", middle="rm -r {0}/home"),
    "a file in its place in the middle": Case("run", middle="rm -r {0}/home && echo > {0}/home", mend="rm -f {0}/home"),
    "unmounted in the middle": Case("run sweep", middle="umount -l {0}", mend="mount -t tmpfs -o size=20m none {0}"),
    "read-only in the middle": Case(
        "failing job", middle="mount --bind {0} {0} && mount -o remount,ro,bind {0}", mend="umount {0}"
    ),
    "full in the middle": Case(
        "run sweep", middle="cat /dev/zero > {0}/filler 2>/dev/null || true", mend="rm {0}/filler"
    ),
}


def tried(name: str, kind: str, place: Path) -> dict[str, object]:
    """One kind of work in one bad folder, and once more when it is good again."""
    case, disk = CASES[name], place / "disk"
    disk.mkdir(parents=True)
    shell(f"mount -t tmpfs -o {case.size} none {disk}")
    os.environ["INLAY_HOME"] = str(disk / "home")
    preparation._written.clear()
    if name == "read-only":
        (disk / "home").mkdir()
    shell(case.before.format(disk))
    middle = (lambda: shell(case.middle.format(disk))) if case.middle else None
    found = work(kind, place / "out", middle)
    database._close_all()
    database._forget_all()
    preparation._written.clear()
    shell(case.mend.format(disk))
    forget_memory()
    found["again"] = work(kind, place / "again")
    database._close_all()
    forget_memory()
    for folder in (disk, place / "out"):
        found.setdefault("left", []).extend(
            path.name for path in folder.rglob(".*") if path.name.endswith((".part", ".old", ".claim"))
        )
    shell(f"umount -l {disk}; umount -l {disk} 2>/dev/null || true")
    shutil.rmtree(place)
    return {"case": name, "kind": kind, "folder": str(disk / "home")} | found


def _photo(path: Path, number: int) -> str:
    if not path.exists():
        PIL.Image.new("RGB", (4 + number, 20), (40 * number, 0, 90)).save(path)
    return str(path)


def forget_memory() -> None:
    """What this process holds in memory would hide what is on disk."""
    from inlay.graph_runtime.front.kept_between_runs import forget

    forget(results=True)


def main(folder: str) -> None:
    """Try all."""
    for name in CASES:
        for kind in CASES[name].kinds:
            print(json.dumps(tried(name, kind, Path(folder) / f"{name}-{kind}".replace(" ", "-"))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
