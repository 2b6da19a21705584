"""The folders a case lives in: its own, the output, inlay's home, and what lies outside and must not be read."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

#: Folders beside the case's own: a glob that takes the name of the case's folder for a pattern finds them.
OUTSIDE = ("secret", "photos1", "jab", "a")


def small_picture(kind="RGB", side=16, seed=0):
    noise = np.random.default_rng(seed)
    shape = (side, side) if kind == "L" else (side, side, len(kind))
    return Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8), kind)


def make_static(folder):
    """The files that every case finds in its folder."""
    from safetensors.numpy import save_file

    (folder / "sub").mkdir(parents=True)
    small_picture().save(folder / "a.png")
    small_picture(seed=1).save(folder / "b.jpg")
    small_picture("RGBA", seed=2).save(folder / "sub" / "c.png")
    small_picture(seed=3).save(folder / "sub" / "d.png")
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 5:13] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    noise = np.random.default_rng(4)
    save_file({"latent": noise.normal(size=(1, 4, 8, 8)).astype(np.float32)}, str(folder / "latent.safetensors"))
    (folder / "boxes.csv").write_text("file,left,top,right,bottom,label\nc.png,1,1,12,12,dog\nd.png,0,2,14,15,dog\n")


class World:
    """The folders of one process; made anew by `reset`, put back in order by `tidy`."""

    def __init__(self, root, templates):
        self.root, self.templates = Path(root), Path(templates)
        self.out, self.home, self.temporary = self.root / "out", self.root / "home", self.root / "temporary"
        self.outside = [self.root / name for name in OUTSIDE]
        self._ready = {}

    def reset(self):
        if self.root.exists():
            shutil.rmtree(self.root)
        for folder in (self.out, self.home, self.temporary):
            folder.mkdir(parents=True)
        for place in self.outside:
            _link_tree(self.templates / "static", place)
            for name, target in (("s.png", "a.png"), ("s.safetensors", "latent.safetensors"), ("x.jpg", "b.jpg")):
                os.link(place / target, place / name)
            (place / "w.json").write_text('{"format": 1, "nodes": {}}')
        self._ready = {}

    def folder_of(self, case):
        return self.root / (case.folder or "job")

    def lay(self, case):
        """Put a case's files into its folder, and return what must be there afterwards."""
        folder = self.folder_of(case)
        ready = self._ready.setdefault(folder, set())
        if not ready:
            _link_tree(self.templates / "static", folder)
            os.symlink("../secret/s.png", folder / "link.png")
            os.symlink("../secret", folder / "door")
            os.mkfifo(folder / "pipe.png")
            ready.add("static")
        for name in set(case.needs) - ready:
            _link_tree(self.templates / name, folder / name)
            ready.add(name)
        for name in (*case.files, *case.links, *case.pipes):
            place = folder / name
            _remove(place)
            place.parent.mkdir(parents=True, exist_ok=True)
        for name, contents in case.files.items():
            (folder / name).write_bytes(contents)
        for name, target in case.links.items():
            os.symlink(target, folder / name)
        for name in case.pipes:
            os.mkfifo(folder / name)
        return _names(folder)

    def tidy(self, case, laid, may_write=False):
        """What inlay left where it should not have; then everything is as before."""
        folder = self.folder_of(case)
        changed = _names(folder) ^ laid
        left = [f"job: {name}" for name in sorted(changed) if not may_write or _is_temporary(name)]
        left += [f"out: {name}" for name in sorted(_names(self.out)) if _is_temporary(name)]
        left += [f"home: {name}" for name in sorted(_names(self.home)) if _is_temporary(name)]
        for name in os.listdir(self.out):
            _remove(self.out / name)
        for name in (*case.files, *case.links, *case.pipes):
            self._restore(folder, name)
        if left or changed:
            self.reset()
        return left

    def _restore(self, folder, name):
        _remove(folder / name)
        source = self.templates / name if (self.templates / name).is_file() else self.templates / "static" / name
        if source.is_file():
            os.link(source, folder / name)


def _is_temporary(name):
    last = name.rpartition("/")[2]
    return last.endswith((".part", ".old")) or last.startswith(".inlay-")


def _names(folder):
    found = set()
    for place, folders, files in os.walk(folder):
        short = place[len(str(folder)) + 1 :]
        found.update(f"{short}/{name}" if short else name for name in (*folders, *files))
    return found


def _link_tree(source, target):
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)


def _remove(place):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()
