"""PyOD's autoencoder as a detector of odd images, with its own settings: pip install pyod."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def pyod_autoencoder(normal: Rows, queries: Rows) -> NDArray[np.float64]:
    """Larger is odder, (n,). Rows are pixels in [0, 1]."""
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(contamination=0.01, random_state=0, verbose=0, device="cpu")
    return np.asarray(detector.fit(normal).decision_function(queries))
