"""Array types for pictures that are not tensors."""

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.float32] | NDArray[np.float64]
Samples = NDArray[np.uint8] | NDArray[np.uint16]  # as stored in a file; the highest number is white, or opaque
