"""Pictures and masks as tensors and as files, and a workflow over them."""

import numpy as np
import torch
from PIL import Image


def random_image(batch, height, width, seed=0, dtype=torch.float32):
    """Uniform noise, `[b h w 3]` in [0, 1]."""
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def save_noise(path, draws, width, height, mode="RGB", orientation=None, **options):
    """A picture of 8-bit noise from the NumPy generator `draws`, turned by an EXIF orientation if there is one."""
    picture = Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    path.parent.mkdir(exist_ok=True)
    picture.save(path, **options)
    return path


def save_box_mask(path, width, height, box, **options):
    """A mask that is white in a box (left, top, right, bottom)."""
    plane = np.zeros((height, width), dtype=np.uint8)
    plane[box[1] : box[3], box[0] : box[2]] = 255
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(plane).save(path, **options)
    return path


def fill_and_paste(image, mask, **save):
    """A workflow that fills the hole from its edge, pastes it back and saves it; the profile is not connected."""
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(image)}},
            "hole": {"type": "mask.load", "params": {"path": str(mask)}},
            "fill": {
                "type": "image.fill",
                "params": {"fill": "edge"},
                "inputs": {"image": "photo.image", "mask": "hole.mask"},
            },
            "paste": {
                "type": "image.paste_back",
                "inputs": {"base": "photo.image", "patch": "fill.image", "mask": "hole.mask"},
            },
            "save": {"type": "image.save", "params": save, "inputs": {"image": "paste.image"}},
        },
        "outputs": {"image": "paste.image"},
    }
