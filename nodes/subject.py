"""Photos to learn from: of one subject, or of many things with boxes around them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw
from pydantic import Field

from ..graph_runtime import BadInput, Context, ReadMany, ReadPath, ReadPaths, node
from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.notices import notice
from ..models.detr.detections import (
    Criteria,
    Detection,
    Pick,
    check_wanted,
    choose,
    describe_candidates,
    find_all,
    nothing_found,
)
from ..models.embedded import mark_own_pictures
from ..models.protocols import DetectorDescription
from ..pictures.boxes import Box, padded
from ..pictures.files.folders import find_pictures, left_out
from ..pictures.photos.boxes import area_problem, read_boxes
from ..pictures.photos.masks import mask_boxes, match_masks, reported_at, same_stem
from ..pictures.photos.photo import Photo, PhotoSet, photo_sizes
from ..pictures.sheet import columns_for, draw_sheet
from .checks.before_run import CheckContext, Known, Params
from .ports import Detector, Image, Photos

Share = Annotated[float, Field(ge=0, le=1)]
Sizes = Mapping[str, tuple[int, int]]
SHOWN, TILE, FRAME = 24, 256, (230, 40, 40)
FEW = 8  # photos that are taken for those of one subject
MANY = 2000  # photos up to which headers, masks and boxes are looked at while checking
READ = 12_500_000  # pixels of masks that are decoded while checking
WARNED = 4  # photos without a box that a warning names
INSTEAD = "draw masks (white = subject) of the photos' names and name their folder in masks"


class Gathered(NamedTuple):
    """Photos with boxes, and a sheet that shows them."""

    photos: Photos
    overview: Image


def _check(known: Known, params: Params) -> Mapping[str, PhotoSet]:
    """Settings that contradict each other or the connections; the photos, where no detector has to look at them."""
    detector = known.get("detector", ...)  # absent: a detector is connected, but not known yet
    label, masks, boxes = params["label"], params["masks"], params["boxes"]
    wanted = label if masks is None and boxes is None and detector is not ... else None
    check_wanted(known.get("detector"), wanted, params["min_area"], params["max_area"])
    if boxes is not None and detector is not None and masks is None:
        raise BadInput(
            "boxes",
            found="a boxes file and a detector",
            expected="one source of boxes",
            fix="set boxes to null, or disconnect the detector",
        )
    if label is not None and boxes is None and masks is None and detector is None:
        raise BadInput(
            "label",
            found=f"label={label!r} with nothing that has labels",
            expected="a boxes file or a detector",
            fix="connect model.detector, set boxes, or set label to null",
        )
    if not isinstance(path := params.get("path"), (str, list)):
        return {}
    some = _look([path] if isinstance(path, str) else path, params, detector is None)
    return {} if some is None else {"photos": some}


def _look(looked: list[str], params: Params, whole: bool) -> PhotoSet | None:
    """What headers, masks of no great size and a file of boxes say of the photos; `whole`: there is no detector."""
    mark_own_pictures(looked)
    masks, boxes = params["masks"], params["boxes"]
    files = _photos_of(looked, masks, boxes, notice)
    if len(files) > MANY:
        return None
    sizes = photo_sizes(files)
    ctx = CheckContext()
    if masks is not None and sum(width * height for width, height in sizes.values()) <= READ:
        found, _ = _from_masks(files, masks, sizes, (params["min_area"], params["max_area"]), ctx)
    elif masks is not None:
        with reported_at("masks"):
            match_masks(files, find_pictures(masks))
        return None
    elif boxes is not None:
        found = _from_file(Path(boxes), sizes, Criteria(*(params[name] for name in Criteria._fields)), ctx)
    elif whole:
        found = {name: [(0, 0, *size)] for name, size in sizes.items()}
    else:
        return None
    boxed = [Photo(file, *sizes[file.name], tuple(found.get(file.name, ()))) for file in files]
    return PhotoSet(tuple(photo for photo in boxed if photo.boxes), "")


def _photos_of(looked: Sequence[str], masks: str | None, boxes: str | None, say: Callable[[str], None]) -> list[Path]:
    """The picture files; a notice names files beside them that are neither masks nor boxes."""
    files = [file for one in looked for file in find_pictures(one)]
    elsewhere = frozenset(Path(other).name for other in (masks, boxes) if other is not None)  # read in their own ways
    for rest in filter(None, (left_out(one, but=elsewhere) for one in looked)):
        say(rest)
    return files


@node("subject.photos", version=1, check=_check)
def photos(
    path: ReadMany,
    ctx: Context,
    detector: Detector | None = None,
    masks: ReadPaths | None = None,
    boxes: ReadPath | None = None,
    label: str | None = None,
    padding: Annotated[float, Field(ge=0, le=2)] = 0.0,
    pick: Pick = "best",
    score: Share = 0.9,
    min_area: Share = 0.02,
    max_area: Share = 0.8,
) -> Gathered:
    """Gather photos of a subject and the box around it in each.

    Boxes come from masks, from a file, from a detector, or, with none of these, are the whole photos. Pictures of any
    sizes, EXIF orientation applied; those without a box are left out, with a warning. Of the pictures only headers are
    read here (a detector sees each of them), so a folder may hold many thousands.

    Args:
        path: a folder of pictures, a glob, one picture, or a list of these.
        detector: finds a box in each photo, unless masks are given.
        masks: a folder or glob of masks, white = subject, of the photos' names and sizes; they override all else.
        boxes: COCO JSON, or CSV with the columns file,left,top,right,bottom (or x,y,width,height) and perhaps label.
        label: what to look for, or which boxes of the file to keep; null takes any.
        padding: grows each box on every side, as a share of its own length.
        pick: which of the detections in a photo: best (the most probable), largest or all.
        score: the lowest probability at which a detection counts.
        min_area: boxes that fill less of their picture are left out; for masks that do, there is a warning.
        max_area: boxes that fill more of their picture are left out; for masks that do, there is a warning.

    Raises:
        BadInput: no picture, no usable box (with what was found instead), a box outside its picture, masks that do not
            match, two sources of boxes.
    """
    wanted = Criteria(label, score, min_area, max_area, pick)
    _check({"detector": detector}, {**wanted._asdict(), "masks": masks, "boxes": boxes})
    files = _photos_of(path if isinstance(path, list) else [path], masks, boxes, ctx.warn)
    sizes = photo_sizes(files)
    drawn: dict[str, Path] = {}
    if masks is not None:
        for given, what in ((boxes, "the boxes file"), (detector, "the detector")):
            if given is not None:
                ctx.warn(f"masks are given, so {what} is not used")
        found, drawn = _from_masks(files, masks, sizes, (min_area, max_area), ctx)
    elif boxes is not None:
        found = _from_file(Path(boxes), sizes, wanted, ctx)
    elif detector is not None:
        found = _detected(files, sizes, detector, wanted, ctx)
    else:
        found = {name: [(0, 0, *size)] for name, size in sizes.items()}
    gathered = [
        Photo(
            file,
            *sizes[file.name],
            tuple(padded(box, sizes[file.name], padding) for box in found.get(file.name, ())),
            drawn.get(file.name),
        )
        for file in files
    ]
    name = Path(path).name if isinstance(path, str) else f"{len(files)} photos"
    some = PhotoSet(tuple(photo for photo in gathered if photo.boxes), name)
    bare = [photo.name for photo in gathered if not photo.boxes]
    if bare:
        ctx.warn(
            f"{len(bare)} of {len(gathered)} photos have no box and are not used: {', '.join(bare[:4])}"
            + ", …" * (len(bare) > 4)
        )
    return Gathered(some, _overview(some.photos))


def _from_masks(
    files: Sequence[Path],
    masks: str,
    sizes: Sizes,
    areas: tuple[float, float],
    ctx: Context,
) -> tuple[dict[str, list[Box]], dict[str, Path]]:
    """Boxes and mask files by the photos' names."""
    with reported_at("masks"):
        there = find_pictures(masks)
    if rest := left_out(masks):
        ctx.warn(f"masks: {rest}")
    found = mask_boxes(files, there, sizes, lambda number: ctx.progress(number, len(files)))
    doubtful = [name for name, (_, _, _, notes) in found.items() if notes]
    for name, (mask, _, share, notes) in found.items():
        if why := area_problem(share, *areas):
            ctx.warn(f"the mask of {name} covers {share:.1%}, {why}: is it the right one, and white = subject?")
        if name in doubtful[:WARNED]:
            for note in notes:
                ctx.warn(f"{mask.name}: {note}")
        if not same_stem(Path(name), mask):  # one photo and one mask
            ctx.warn(f"{mask.name} is used as the mask of {name}, though their names differ: is that right?")
    if len(doubtful) > WARNED:
        ctx.warn(f"{len(doubtful) - WARNED} more masks look doubtful")
    return {name: [box] for name, (_, box, *_) in found.items()}, {name: mask for name, (mask, *_) in found.items()}


def _from_file(path: Path, sizes: Sizes, wanted: Criteria, ctx: Context) -> dict[str, list[Box]]:
    found, left_out = read_boxes(path, sizes, label=wanted.label, min_area=wanted.min_area, max_area=wanted.max_area)
    for reason, count in left_out.most_common(8):
        ctx.warn(f"{count} box{'es are' if count > 1 else ' is'} left out: {reason}")
    return found


def _detected(
    files: Sequence[Path],
    sizes: Sizes,
    detector: DetectorDescription,
    wanted: Criteria,
    ctx: Context,
) -> dict[str, list[Box]]:
    """What a detector finds, by the photos' names; a notice names photos without anything of use."""
    found: dict[str, list[Box]] = {}
    shown: dict[str, list[str]] = {}
    bare: list[tuple[str, list[Detection]]] = []
    with ctx.lease(detector) as module:
        for number, file in enumerate(files, 1):
            seen = find_all(Photo(file, *sizes[file.name]).picture(), detector, module)
            chosen = choose(seen, wanted)
            found[file.name] = [item.box for item in chosen]
            for label in {item.label for item in chosen}:
                shown.setdefault(label, []).append(file.name)
            if not found[file.name]:
                bare = [*bare, (file.name, seen)][:WARNED]
            ctx.progress(number, len(files))
    if not any(found.values()):
        raise nothing_found("path", *bare[0], wanted, INSTEAD)
    if len(shown) > 1 and len(files) <= FEW:  # photos of one subject, not of a collection
        kinds = "; ".join(f"{label} in {', '.join(names)}" for label, names in shown.items())
        ctx.warn(f"different things were found: {kinds}; set label to the one that is meant")
    for name, seen in bare:
        ctx.warn(f"nothing found in {name}: {describe_candidates(seen, wanted)}; to use it, {INSTEAD}")
    return found


def _overview(gathered: Sequence[Photo]) -> Tensor:
    """The first photos, small, with their boxes drawn in; what a mask leaves out is dimmed."""
    tiles = [_tile(photo) for photo in gathered[:SHOWN]]
    return draw_sheet(tiles, [photo.name for photo in gathered[:SHOWN]], columns_for(len(tiles)))


def _tile(photo: Photo) -> Tensor:
    pixels, subject = photo.picture(), photo.subject()
    if subject is not None:
        pixels = pixels * (0.35 + 0.65 * subject[..., None])
    picture = Pil.fromarray((pixels * 255).round().to(torch.uint8).numpy())
    scale = TILE / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    across, down = small.width / picture.width, small.height / picture.height
    pen = ImageDraw.Draw(small)
    for left, top, right, bottom in photo.boxes:
        corner = int(left * across), int(top * down)
        far = max(corner[0], round(right * across) - 1), max(corner[1], round(bottom * down) - 1)
        pen.rectangle((*corner, *far), outline=FRAME, width=2)
    return torch.from_numpy(np.asarray(small).copy()).float() / 255
