"""The running mean of distances behind an optimal scale."""

import numpy as np
import pytest
from harness import numpy, round_trip
from keras import ops

from gamix_keras.layers import AverageDistance


def test_running_distance_is_the_bias_corrected_mean():
    average = AverageDistance(0.9)
    average.build(())

    def layer(distance, training=False):
        return average(ops.convert_to_tensor(distance, "float32"), training=training)

    assert float(numpy(layer(3.0))) == 3.0  # nothing was trained: the batch's own
    for distance in (1.0, 2.0, 4.0):
        assert float(numpy(layer(distance, training=True))) == distance
    weights = 0.9 ** np.arange(3)[::-1]
    assert float(numpy(layer(7.0))) == pytest.approx((weights * [1, 2, 4]).sum() / weights.sum(), rel=1e-6)
    average.load_own_variables({})  # a file of before has none
    assert float(numpy(layer(7.0))) < 4.0
    assert round_trip(average).get_config() == average.get_config()
    with pytest.raises(ValueError, match="momentum: expected a number in"):
        AverageDistance(1.0)
