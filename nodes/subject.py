"""Photos to learn from: of one subject, or of many things with boxes around them."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image as Pil
from PIL import ImageDraw
from pydantic import Field
from torch import Tensor

from ..graph_runtime import BadInput, Context, ReadPath, ReadPaths, node
from ._boxes import Box, place_boxes, read_annotations
from ._grid import columns_for, draw_sheet
from ._photos import Photo, look_at, mask_boxes, padded
from ._photos import Photos as SomePhotos
from ._pictures import find_pictures
from ._ports import Image, Photos

Share = Annotated[float, Field(ge=0, le=1)]
SHOWN, TILE, FRAME = 24, 256, (230, 40, 40)


class Gathered(NamedTuple):
    """Photos with boxes, and a sheet that shows them."""

    photos: Photos
    overview: Image


@node("subject.photos", version=1)
def photos(path: ReadPaths, ctx: Context, masks: ReadPaths | None = None, boxes: ReadPath | None = None,
           label: str | None = None, padding: Annotated[float, Field(ge=0, le=2)] = 0.0, min_area: Share = 0.02,
           max_area: Share = 0.8) -> Gathered:
    """Gather photos and the boxes of what is to be learned in them.

    Boxes come from a file, from masks, or, with neither, are the whole photos. Pictures of any sizes, EXIF orientation
    applied; they are read when they are needed, so a folder may hold many thousands.

    Args:
        path: a folder of pictures, a glob, or one picture.
        masks: a folder or glob of masks, white = subject, of the photos' names and sizes; they override all else.
        boxes: COCO JSON, or CSV with the columns file,left,top,right,bottom (or x,y,width,height) and perhaps label.
        label: keeps only boxes of this label; null keeps all.
        padding: grows each box on every side, as a share of its own length.
        min_area: boxes below this share of their picture are left out.
        max_area: boxes above this share are left out.

    Raises:
        BadInput: no picture, no box of use, a box outside its picture, masks that do not match.
    """
    files = find_pictures(path)
    sizes = look_at(files)
    found, drawn = _boxes(files, sizes, masks, boxes, label, min_area, max_area, ctx)
    gathered = tuple(Photo(file, *sizes[file.name],
                           tuple(padded(box, sizes[file.name], padding) for box in found.get(file.name, ())),
                           drawn.get(file.name)) for file in files)
    bare = sum(not photo.boxes for photo in gathered)
    if bare:
        ctx.warn(f"{bare} of {len(gathered)} photos have no box and are not used")
    some = SomePhotos(tuple(photo for photo in gathered if photo.boxes), Path(path).name)
    return Gathered(some, _overview(some))


def _boxes(files: list[Path], sizes: dict[str, tuple[int, int]], masks: str | None, boxes: str | None,
           label: str | None, min_area: float, max_area: float, ctx: Context,
           ) -> tuple[dict[str, list[Box]], dict[str, Path]]:
    """Boxes and masks by name, from masks, a file, or of whole photos."""
    if masks is not None:
        if boxes is not None:
            ctx.warn("masks are given, so the boxes file is not used")
        pairs = mask_boxes(files, find_pictures(masks), sizes)
        return {name: [box] for name, (_, box) in pairs.items()}, {name: mask for name, (mask, _) in pairs.items()}
    if boxes is None:
        return {name: [(0, 0, *size)] for name, size in sizes.items()}, {}
    found, left_out = place_boxes(read_annotations(Path(boxes)), sizes, label=label, min_area=min_area,
                                  max_area=max_area)
    for reason, count in left_out.items():
        ctx.warn(f"{count} boxes are left out: {reason}")
    return found, {}


def _overview(some: SomePhotos) -> Tensor:
    """The first photos, small, with their boxes drawn in."""
    if not some.photos:
        raise BadInput("boxes", found="no photo with a box", expected="at least one", fix="add boxes to the file")
    tiles = [_tile(photo) for photo in some.photos[:SHOWN]]
    labels = [photo.path.name for photo in some.photos[:SHOWN]]
    return draw_sheet(tiles, labels, columns_for(len(tiles)))


def _tile(photo: Photo) -> Tensor:
    levels: Any = (photo.picture() * 255).round().to(torch.uint8).numpy()
    picture = Pil.fromarray(levels)
    scale = TILE / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    pen = ImageDraw.Draw(small)
    for left, top, right, bottom in photo.boxes:
        pen.rectangle((left * scale, top * scale, right * scale - 1, bottom * scale - 1), outline=FRAME, width=2)
    return torch.from_numpy(np.asarray(small).copy()).float() / 255
