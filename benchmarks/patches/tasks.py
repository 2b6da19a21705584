"""Pictures with a hole, and what is measured of a filled one."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

Picture = NDArray[np.float64]
Plane = NDArray[np.bool_]
SIDE = 512  # shorter side above which photos are scaled down
SHARE = 0.15  # of the picture that the hole takes
TRIES = 16  # places of the hole among which the one is taken whose own texture is most like its surroundings'
RING = 24  # pixels around the hole with which it is compared
SIGMA = 2.0  # pixels of the Gaussian beyond which detail counts as high-pass
PACKAGES = {
    "skimage": (
        *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
        *("gravel.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}


@dataclass(frozen=True)
class Task:
    """A picture `[h w 3]` in [0, 1] and its hole `[h w]`."""

    name: str
    picture: Picture
    hole: Plane


@dataclass(frozen=True)
class Measures:
    """Of one filled hole: high-pass energy over that of the ring, that of the truth, and PSNR beside a membrane's."""

    energy: float
    truth: float
    psnr: float
    harmonic: float


def photos(folder: Path | None) -> list[Path]:
    """The photos in a folder, or those of scikit-image and scikit-learn, as far as these are installed."""
    if folder is not None:
        wanted = {name for names in PACKAGES.values() for name in names}
        return sorted(path for path in folder.iterdir() if path.name in wanted)
    found = []
    for package, names in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / FOLDERS[package] / name for name in names]
    return [path for path in found if path.exists()]


def tasks(folder: Path | None) -> Iterator[Task]:
    """Every photo, then every drawn texture, each with a hole."""
    pictures = [(path.stem, opened(path)) for path in photos(folder)] + list(textures().items())
    for number, (name, picture) in enumerate(pictures):
        yield Task(name, picture, place(picture, number))


def opened(path: Path) -> Picture:
    """A photo in RGB, its shorter side at most `SIDE`, cut to a square."""
    image = Image.open(path).convert("RGB")
    scale = min(1, SIDE / min(image.size))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    side = min(max(image.size), SIDE)
    left, top = max(0, image.width - side) // 2, max(0, image.height - side) // 2
    return np.asarray(image.crop((left, top, min(image.width, left + side), min(image.height, top + side)))) / 255


def place(picture: Picture, seed: int) -> Plane:
    """A round, uneven hole where the picture's own detail is most like that of the ring around it."""
    rng = np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(TRIES):
        hole = _blob(rng, *picture.shape[:2])
        apart = abs(np.log(energy(picture, hole)))
        if apart < least:
            best, least = hole, apart
    assert best is not None
    return best


def _blob(rng: np.random.Generator, height: int, width: int) -> Plane:
    rows, columns = np.mgrid[:height, :width]
    radius = np.sqrt(SHARE * height * width / np.pi)
    inset = [min(1.25 * radius, side / 2) for side in (height, width)]
    centre = [rng.uniform(margin, side - margin) for margin, side in zip(inset, (height, width), strict=True)]
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    waves = sum(np.cos(n * angle + rng.uniform(0, 2 * np.pi)) / n for n in (1, 2, 3, 4))
    return np.asarray(np.hypot(rows - centre[0], columns - centre[1]) < radius * (1 + 0.1 * waves))


def energy(picture: Picture, hole: Plane) -> float:
    """Mean square of what a Gaussian removes from the luma, 4 pixels inside the hole and deeper, over the ring's."""
    luma = picture @ np.array([0.299, 0.587, 0.114])
    detail = (luma - gaussian_filter(luma, SIGMA)) ** 2
    ring = binary_dilation(hole, iterations=RING) & ~binary_dilation(hole, iterations=2)
    return float(detail[binary_erosion(hole, iterations=4)].mean() / detail[ring].mean())


def measured(task: Task, filled: Picture) -> Measures:
    """What a filled hole is worth."""
    wanted, membrane = task.picture[task.hole], harmonic(task.picture, task.hole)[task.hole]
    psnr, other = (
        float(-10 * np.log10(max(((values - wanted) ** 2).mean(), 1e-10))) for values in (filled[task.hole], membrane)
    )
    return Measures(energy(filled, task.hole), energy(task.picture, task.hole), psnr, other)


def harmonic(picture: Picture, hole: Plane) -> Picture:
    """Laplace's equation in the hole, solved exactly; nothing flows through the picture's border."""
    places = np.argwhere(hole)
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(places))
    diagonal, right = np.zeros(len(places)), np.zeros((len(places), 3))
    rows, columns = [], []
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = places + step
        here = np.flatnonzero(((beside >= 0) & (beside < hole.shape)).all(1))
        beside = beside[here]
        diagonal[here] += 1
        other = number[beside[:, 0], beside[:, 1]]
        inside = other >= 0
        rows.append(here[inside])
        columns.append(other[inside])
        right[here[~inside]] += picture[beside[~inside, 0], beside[~inside, 1]]
    index = np.arange(len(places))
    values = np.concatenate([np.full(sum(map(len, rows)), -1.0), diagonal])
    matrix = coo_array((values, (np.concatenate([*rows, index]), np.concatenate([*columns, index])))).tocsc()
    out = picture.copy()
    out[hole] = splu(matrix).solve(right)
    return out


def textures(side: int = 384) -> dict[str, Picture]:
    """Drawn ones: stripes, bricks, wood, pebbles, meadow."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side].astype(float)

    def noise(sigma: float) -> Picture:
        values = gaussian_filter(rng.normal(size=(side, side)), sigma, mode="wrap")
        return np.asarray((values - values.min()) / np.ptp(values))

    stripes = (0.5 + 0.4 * np.sin((x + 0.5 * y) / 4))[..., None] * [1, 0.8, 0.6]
    joint = (y % 24 < 3) | ((x + 24 * (y // 24 % 2)) % 48 < 3)
    bricks = np.where(joint[..., None], [0.8, 0.8, 0.75], [0.6, 0.25, 0.2]) * (0.8 + 0.4 * noise(1))[..., None]
    rings = np.sin(0.8 * (np.hypot(x - 100, 0.2 * (y + 300)) + 8 * noise(20)))
    wood = (0.5 + 0.2 * rings + 0.1 * noise(1))[..., None] * [1, 0.7, 0.4]
    near, which = cKDTree(rng.uniform(0, side, (300, 2))).query(np.stack([y, x], -1), k=2)
    stone = np.clip((near[..., 1] - near[..., 0]) / 6, 0, 1)
    pebbles = rng.uniform(0.2, 0.9, (300, 3))[which[..., 0]] * stone[..., None]
    sky = (1 - 0.2 * y / side)[..., None] * [0.5, 0.7, 0.95]
    meadow = np.where((y < 0.45 * side)[..., None], sky, (0.5 + noise(1))[..., None] * [0.2, 0.4, 0.1])
    drawn = {"stripes": stripes, "bricks": bricks, "wood": wood, "pebbles": pebbles, "meadow": meadow}
    return {name: np.clip(values, 0, 1) for name, values in drawn.items()}
