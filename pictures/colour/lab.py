"""CIE L*a*b* (D65, 2°) of sRGB colours, in which distances are about as large as they look."""

import numpy as np

from ..arrays import Float32Array

#: linear sRGB to CIE XYZ (IEC 61966-2-1), over the white of D65
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = (_XYZ / _WHITE[:, None]).T.astype(np.float32)
_DARK = (6 / 29) ** 3


def lab_of(colours: Float32Array) -> Float32Array:
    """L* in [0, 100], a* and b*, of `[… 3]` sRGB in [0, 1]."""
    colours = np.clip(colours, 0, 1)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4).astype(np.float32)
    xyz = linear @ _TO_XYZ
    f = np.where(xyz > _DARK, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    out: Float32Array = np.empty_like(xyz)
    out[..., 0] = 116 * f[..., 1] - 16
    out[..., 1] = 500 * (f[..., 0] - f[..., 1])
    out[..., 2] = 200 * (f[..., 1] - f[..., 2])
    return out
