"""Warnings about the photos of a subject: too many, too small, duplicates, or of something else."""

from collections.abc import Sequence
from itertools import combinations

from ..graph_runtime import Context
from ..graph_runtime.core.light.later import F, Tensor, torch
from ..graph_runtime.core.values import without_gradients
from ..pictures.augmentation import Augment
from ..pictures.photos.photo import PhotoSet
from .example_source import ExampleSource
from .examples import ExampleOptions

FEW, MANY = 2, 8  # photos
LITTLE = 0.10  # share of a photo that a subject should fill
SAME = 0.999  # cosine from which two photos count as the same view
#: Likeness, from 0 (a subject and a room) to 1 (a subject and its mirror image), below which photos show other things.
#: For drawn subjects, the least similar photos of one are at 0.25; half of those of different kinds are below 0.2.
FOREIGN = 0.2


def warn_of_sizes(photos: PhotoSet, ctx: Context) -> None:
    """Warn about too few or too many photos, and about photos in which the subject is small."""
    pairs = photos.pairs()
    if len(pairs) < FEW:
        ctx.warn("one photo: its pose and light are learned with the subject; two to four photos are better")
    if len(pairs) > MANY:
        ctx.warn(f"{len(pairs)} views of the subject: two to four are enough, and more take longer to train")
    for number, (left, top, right, bottom) in pairs:
        photo = photos.photos[number]
        share = (right - left) * (bottom - top) / (photo.width * photo.height)
        if share < LITTLE:
            ctx.warn(
                f"{photo.name}: the subject fills {share:.0%} of it; crop the photo closer, or little of its detail "
                "is learned"
            )


@without_gradients
def warn_of_contents(photos: PhotoSet, source: ExampleSource, ctx: Context) -> None:
    """Warn about photos that show the same view, or seem to show something else, judged by the exemplar encoder.

    Cosines are not comparable between encoders, so they are rescaled: 0 is the likeness of subjects to rooms without
        them, 1 to their mirror images.
    """
    if not FEW <= len(source.pairs) <= MANY:
        return
    plain = ExampleOptions(source.options.size, source.options.exemplar_size, Augment(0.0, 0.0, 0.0, 0.0))
    unchanged = ExampleSource(photos, plain, source.encoders, source.seed, 0)
    examples, _ = unchanged.examples([(number, 0) for number in range(len(unchanged.pairs))])
    exemplars = torch.stack([example.exemplar for example in examples])
    rooms = torch.cat(
        [_without_subject(photos.photos[photo].picture(), box, plain.exemplar_size) for photo, box in unchanged.pairs]
    )
    subjects, mirrored, empty = (_directions(pictures, source) for pictures in (exemplars, exemplars.flip(3), rooms))
    cosines = subjects @ subjects.T
    low, high = float((subjects @ empty.T).mean()), float((subjects * mirrored).sum(1).mean())
    names = [photos.photos[number].name for number, _ in source.pairs]
    for one, other in combinations(range(len(names)), 2):
        if cosines[one, other] > SAME:
            ctx.warn(
                f"{names[one]} and {names[other]} show the same view of the subject: photos from other sides, or in "
                "other light, are more useful"
            )
    if high - low > FOREIGN:
        nearest = ((cosines - 2 * torch.eye(len(names)).to(cosines)).amax(1) - low) / (high - low)
        foreign = [name for name, value in zip(names, nearest.tolist(), strict=True) if value < FOREIGN]
        if foreign and len(names) == 2:
            ctx.warn(f"{names[0]} and {names[1]} seem to show different things: are they photos of one subject?")
        elif foreign:
            ctx.warn(
                f"{', '.join(foreign)} seem{'s' * (len(foreign) == 1)} to show something different from the other "
                "photos: are they all of one subject?"
            )


def _without_subject(picture: Tensor, box: Sequence[int], side: int) -> Tensor:
    """A picture `[h w 3]` with the box of its subject grey, `[1 3 s s]`."""
    left, top, right, bottom = box
    room = picture.clone()
    room[top:bottom, left:right] = 0.5
    return F.interpolate(room.permute(2, 0, 1)[None], (side, side), mode="bicubic", antialias=True).clamp(0, 1)


def _directions(pictures: Tensor, source: ExampleSource) -> Tensor:
    """Unit vectors of pictures `[b 3 s s]` in the embedding of the exemplar encoder."""
    encoders = source.encoders
    tokens = encoders.clip(((pictures - encoders.mean) / encoders.std).to(encoders.device))
    return F.normalize(tokens.flatten(1).float(), dim=-1)
