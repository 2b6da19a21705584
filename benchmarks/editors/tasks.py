"""The task of the editing benchmark: a drawn room, the same with one thing changed, and what makes an edit right."""

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from inlay.dollhouse import judge
from inlay.dollhouse.world import POSES, SUBJECT_COLOURS, WALL_COLOURS, Scene, caption, draw_layers, sample_scene
from PIL import Image, ImageFilter

KINDS = ("pose", "colour", "class", "wall")
BACKGROUND = 25.0  # dB outside both subjects and shadows; from here a background counts as kept
MARGIN = 4  # pixels around both subjects and shadows that count as neither


@dataclass(frozen=True)
class Pair:
    """A picture, the wanted result, and both in words."""

    kind: str
    before: Scene
    after: Scene

    @property
    def texts(self) -> tuple[str, str]:
        """Source prompt and target prompt."""
        return caption(self.before), caption(self.after)


def changed(scene: Scene, kind: str, pick: random.Random) -> Scene:
    """The same scene with one attribute changed."""
    if kind == "pose":
        return replace(scene, pose=next(pose for pose in POSES[scene.kind] if pose != scene.pose))
    if kind == "colour":
        return replace(scene, colour=pick.choice([name for name in SUBJECT_COLOURS if name != scene.colour]))
    if kind == "wall":
        return replace(scene, wall=pick.choice([name for name in WALL_COLOURS if name != scene.wall]))
    other = pick.choice([name for name in POSES if name != scene.kind])
    return replace(scene, kind=other, pose=POSES[other][0])


def pairs(split: str, each: int) -> list[Pair]:
    """`each` pairs of every kind; the same on every machine."""
    found: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    index = 0
    while any(len(items) < each for items in found.values()):
        scene = sample_scene(split, 2000 + index)
        kind = KINDS[index % len(KINDS)]
        index += 1
        if kind == "pose" and len(POSES[scene.kind]) < 2:
            poseable = [k for k, items in found.items() if k != "pose" and len(items) < each]
            if not poseable:
                continue
            kind = poseable[0]
        if len(found[kind]) < each:
            found[kind].append(Pair(kind, scene, changed(scene, kind, random.Random(f"{split}:{index}"))))
    return [pair for kind in KINDS for pair in found[kind]]


def _psnr(found: np.ndarray, wanted: np.ndarray, where: np.ndarray | None = None) -> float:
    error = (found.astype(np.float64) - wanted.astype(np.float64)) ** 2
    mean = error.mean() if where is None else error[where].mean()
    return float(10 * np.log10(255**2 / max(mean, 1e-9)))


def score(reader: judge.Judge, pair: Pair, found: Image.Image) -> dict[str, Any]:
    """Compare an edit with the truth, which the drawing program knows.

    `target`: the attribute that was to change did. `kept`: class, pose, colour and wall else did not.
    `facing`: closer to the truth than to its mirror image. `background`: PSNR outside both subjects and shadows.
    `good`: all attributes right, the subject faces where it did, and the background is kept.
    """
    seen = judge.read(reader, [found])[0]
    truth, source = draw_layers(pair.after), draw_layers(pair.before)
    got = {"pose": seen.label, "class": seen.kind, "colour": seen.colour, "wall": seen.wall}
    want = {"pose": pair.after.label, "class": pair.after.kind, "colour": pair.after.colour, "wall": pair.after.wall}
    right = {name: got[name] == want[name] for name in want}
    if pair.kind == "class":
        right["pose"] = right["class"]  # the new thing may have any pose
    others = [right[name] for name in want if name != pair.kind and not (pair.kind == "pose" and name == "class")]
    touched = truth.subject | truth.shadow | source.subject | source.shadow
    grown = Image.fromarray((touched * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * MARGIN + 1))
    free = np.asarray(grown) == 0
    array, wanted = np.asarray(found), np.asarray(truth.image)
    turned = {"left": "right", "right": "left"}[pair.after.facing]
    mirrored = np.asarray(draw_layers(replace(pair.after, facing=turned)).image)
    symmetric = np.array_equal(mirrored, wanted)
    facing, background = symmetric or _psnr(array, wanted) > _psnr(array, mirrored), _psnr(array, wanted, free)
    return {
        "kind": pair.kind,
        "target": bool(right[pair.kind]),
        "kept": all(others),
        "right": all(right.values()),
        "facing": facing,
        "background": background,
        "truth": _psnr(array, wanted),
        "good": all(right.values()) and facing and background >= BACKGROUND,
        "read": f"{seen.label} {seen.colour} {seen.wall}",
    }
