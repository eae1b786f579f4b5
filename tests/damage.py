"""Bytes as a bad disk, a broken download or somebody with a plan would leave them."""

import numpy as np


def damaged(rng, data):
    """Bytes changed, cut off, put in twice, or all made up."""
    data = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(0, 4)
    if kind == 0:
        places = rng.integers(0, len(data), rng.integers(1, 9))
        data[places] = rng.integers(0, 256, len(places))
    elif kind == 1:
        data = data[: rng.integers(0, len(data))]
    elif kind == 2:
        start, end = np.sort(rng.integers(0, len(data), 2))
        data = np.concatenate([data[:end], data[start:]])
    else:
        data = np.concatenate([data[:12], rng.integers(0, 256, 200, np.uint8)])
    return data.tobytes()
