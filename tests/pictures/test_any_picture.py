"""Any mode, profile and format: known pixels, the profile and the alpha keep their values."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from any_picture import MODES, PROFILES, make
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import Context
from inlay.nodes.image.files import load, save
from inlay.nodes.image.paste import paste_back
from inlay.pictures.colour.space import Colour
from PIL import Image as Pil
from png_toys import samples_of
from torch import from_numpy, zeros_like


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    profile=st.sampled_from(list(PROFILES)),
    kind=st.sampled_from(["png", "webp"]),
    side=st.integers(1, 19),
    seed=st.integers(0, 2**16),
    grey_patch=st.booleans(),
)
def test_known_pixels_profile_and_alpha(mode, profile, kind, side, seed, grey_patch):
    folder = Path(tempfile.mkdtemp())
    try:
        check(folder, mode, PROFILES[profile], kind, side, seed, grey_patch)
    finally:
        shutil.rmtree(folder)


def check(folder, mode, profile, kind, side, seed, grey_patch):
    path, colours, alpha = make(folder, mode, profile, (side, side + 3), seed)
    ctx = Context(out=folder / "out")
    image, mask, said = load(str(path), ctx)
    top = np.iinfo(colours.dtype).max
    assert np.array_equal(image[0].numpy(), colours.astype(np.float32) / np.float32(top))
    hole = from_numpy(np.random.default_rng(seed + 1).random((1, *colours.shape[:2])) < 0.3).float()
    patch = zeros_like(image) + (0.25 if grey_patch else from_numpy(np.float32([0.9, 0.1, 0.4])))
    saved = Path(save(paste_back(image, patch, hole).image, ctx, format=kind, profile=said, mask=hole).paths[0])
    known = hole[0].numpy() == 0
    with Pil.open(saved) as out:
        found_icc = out.info.get("icc_profile")
        found = samples_of(saved) if kind == "png" else np.asarray(out.convert("RGBA" if out.mode == "RGBA" else "RGB"))
    deep = colours.dtype == np.uint16 and kind == "png"
    wanted = colours if deep or top == 255 else np.round(colours / top * 255).astype(np.uint8)
    assert found.dtype == wanted.dtype
    rgb = found[..., :1].repeat(3, -1) if found.shape[2] < 3 else found[..., :3]
    assert np.array_equal(rgb[known], wanted[known])
    grey_file = mode in ("1", "L", "LA", "L key", "16 L", "16 LA")
    fits = profile is not None and (profile != PROFILES["grey"] or grey_file)
    if not fits:
        assert found_icc is None
    elif profile != PROFILES["grey"] or found.shape[2] < 3:
        assert found_icc == profile
    else:  # a grey profile for colour pixels: the same, written for RGB
        assert found_icc
        assert found_icc != profile
    assert said.colour == Colour(icc=profile if fits else b"")
    if alpha is None:
        assert found.shape[2] in (1, 3)
        assert not mask.any()
    else:
        opaque = kind == "webp" and found.shape[2] == 3  # libwebp stores no alpha that is opaque everywhere
        stored = np.ones(known.shape) if opaque else found[..., -1].astype(float) / np.iinfo(found.dtype).max
        assert np.abs(stored[known] - alpha[known] / top).max(initial=0) <= (0 if deep or top == 255 else 0.5 / 255)
        assert (stored[~known] == 1).all()
        assert np.array_equal(mask[0].numpy(), np.float32(1) - alpha.astype(np.float32) / np.float32(top))
