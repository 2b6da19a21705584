"""Seamless cloning written down pixel by pixel, solved by SuperLU: an oracle."""

import numpy as np


def cloned(base, patch, hole, guide=lambda difference: difference):
    """Pérez et al. 2003, eq. 7: f = base outside the hole, and in it the divergence of f's gradient is the guidance's.

    `guide` makes the guidance v_pq of the patch's difference along a pair; no flux crosses the picture's border.
    """
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    height, width = hole.shape
    places = [tuple(place) for place in np.argwhere(hole)]
    row_of = {place: row for row, place in enumerate(places)}
    matrix, right = lil_matrix((len(places), len(places))), np.zeros((len(places), base.shape[-1]))
    for (y, x), row in row_of.items():
        for a, b in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= a < height and 0 <= b < width:
                matrix[row, row] += 1
                right[row] += guide(patch[y, x] - patch[a, b])
                if (a, b) in row_of:
                    matrix[row, row_of[a, b]] -= 1
                else:
                    right[row] += base[a, b]
    out = base.copy()
    if places:
        out[hole] = spsolve(matrix.tocsc(), right).reshape(len(places), -1)
    return out
