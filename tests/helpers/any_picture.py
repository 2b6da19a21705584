"""Pictures of any mode and profile, with their numbers by hand."""

import zlib

import numpy as np
from colour_toys import ADOBE, P3, SRGB, icc
from PIL import Image as Pil
from png_toys import png

PROFILES = {
    "none": None,
    "p3": icc("Display P3", P3),
    "adobe": icc("Adobe", ADOBE, 2.2),
    "srgb": icc("s", SRGB),
    "grey": icc("grey", gamma=1.8, model=b"GRAY"),
}
MODES = ("1", "L", "LA", "P", "P with tRNS", "RGB", "RGBA", "L key", "RGB key", "16 L", "16 LA", "16 RGB", "16 RGBA")


def make(folder, mode, profile, shape, seed):
    """A PNG or TIFF of that mode; its numbers as `[h w 3]` and its alpha, by hand."""
    draw, options = np.random.default_rng(seed), {} if profile is None else {"icc_profile": profile}
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(mode.removeprefix("16 ").removesuffix(" key"), 1)
    kind = np.uint16 if mode.startswith("16") else np.uint8
    made = draw.integers(0, np.iinfo(kind).max + 1, (*shape, channels)).astype(kind)
    path, alpha = folder / "a.png", made[..., -1] if channels in (2, 4) else None
    if kind is np.uint16:
        extra = []
        if profile is not None:
            extra = [(b"iCCP", b"p\0\0" + zlib.compress(profile))]
        path.write_bytes(png(made, extra, interlace=bool(seed % 2)))
    elif mode == "1":
        made = (made > 127).astype(np.uint8) * 255
        Pil.fromarray(made[..., 0]).convert("1", dither=Pil.Dither.NONE).save(path, **options)
    elif mode.startswith("P"):
        table = draw.integers(0, 256, (256, 3)).astype(np.uint8)
        picture = Pil.fromarray(made[..., 0], "P")
        picture.putpalette(table.tobytes())
        opacity = draw.integers(0, 256, 256).astype(np.uint8)
        picture.save(path, **options, **({"transparency": opacity.tobytes()} if "tRNS" in mode else {}))
        alpha = opacity[made[..., 0]] if "tRNS" in mode else None
        made = table[made[..., 0]]
    elif mode.endswith("key"):
        key = made[0, 0].tolist()
        Pil.fromarray(made[..., 0] if channels == 1 else made).save(
            path, transparency=key[0] if channels == 1 else tuple(key), **options
        )
        alpha = np.where((made == made[0, 0]).all(-1), 0, 255).astype(np.uint8)
    else:
        Pil.fromarray(made[..., 0] if channels == 1 else made).save(path, **options)
    colours = made[..., :1].repeat(3, -1) if channels in (1, 2) and not mode.startswith("P") else made[..., :3]
    return path, colours, alpha
