"""Content-aware filling of holes: patches of the picture itself, found on several scales and copied.

The hole is filled on the coarsest scale in layers from its edge. On each scale, search (PatchMatch, Barnes et al.
2009) and vote (Wexler et al. 2007) alternate; the matches start the next finer scale. At the end nothing is averaged:
each pixel is a copy, by the displacement that most patches over it agree on, and a screened Poisson equation hides the
seams.
"""

from collections.abc import Callable

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Bool, Float, Tensor, torch
from .copying import copy_pixels
from .displacements import displacements
from .pyramid import pyramid
from .surroundings import groups, surroundings

STEPS = 100  # of progress, for each picture
Progress = Callable[[int, int], None]


def fill_patches(
    image: Float[Tensor, "b h w 3"],
    hole: Bool[Tensor, "b h w"],
    *,
    source: Bool[Tensor, "b h w"] | None = None,
    patch: int = 7,
    seed: int = 0,
    blend: bool = True,
    progress: Progress | None = None,
) -> Float[Tensor, "b h w 3"]:
    """Fill each picture's hole with patches of its known part; known pixels keep their bits.

    The result follows from the inputs and the seed alone, on one machine. A picture has the same result alone as in a
    batch.

    Args:
        image: Pictures in [0, 1].
        hole: What is to be filled.
        source: Where patches may be copied from; None: from everything that is known.
        patch: Side of a patch in pixels, odd. Smaller ones are used where the source has no room for such a patch.
        seed: Of the random search, drawn on the CPU.
        blend: Hide the seams between copied pieces. Without it every filled pixel has the bits of a source pixel.
        progress: Called with the number of steps done and of all steps; it may raise to stop.

    Raises:
        BadInput: a picture with a hole has nothing to copy from.
    """
    out = image.clone()
    for number, (picture, plane) in enumerate(zip(out, hole, strict=True)):
        usable = ~plane if source is None else source[number] & ~plane

        def report(share: float, before: int = number) -> None:
            if progress is not None:
                progress(STEPS * before + round(STEPS * share), STEPS * len(out))

        if bool(plane.any()):
            _require_something(usable, "mask" if source is None else "source")
            _fill_picture(picture, plane, usable, patch, torch.Generator("cpu").manual_seed(seed), blend, report)
        report(1)
    return out


def _require_something(source: Bool[Tensor, "h w"], port: str) -> None:
    """Raise BadInput where there is nothing to copy from."""
    if not bool(source.any()):
        raise BadInput(
            port,
            found="a hole with nothing to copy from",
            expected="known pixels",
            fix="make the hole smaller, or mark more of the picture as source",
        )


def _fill_picture(
    picture: Float[Tensor, "h w 3"],
    hole: Bool[Tensor, "h w"],
    source: Bool[Tensor, "h w"],
    patch: int,
    generator: torch.Generator,
    blend: bool,
    report: Callable[[float], None],
) -> None:
    """Fill one picture in place, one hole after another; what is filled is known to the next, but not copied."""
    rest, total = hole.clone(), int(hole.sum())
    for left, top, right, bottom in groups(hole):
        todo = int(rest[top:bottom, left:right].sum())
        if not todo:
            continue
        part = surroundings((left, top, right, bottom), rest, source)
        done, count = total - int(rest.sum()), int(rest[part].sum())

        def partly(share: float, done: int = done, count: int = count) -> None:
            report((done + share * count) / total)

        levels, scale = pyramid(picture[part], rest[part], source[part], patch)
        at = displacements(levels, generator, partly)
        copy_pixels(picture[part], rest[part], source[part], levels[0], at, scale, blend)
        rest[part] = False
