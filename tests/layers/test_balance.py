"""The running balance against its recursion by hand."""

import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers import RunningBalance


def test_every_third_number_is_averaged_and_the_others_are_not_asked_for():
    layer, asked, seen, expected = RunningBalance(3), [], [], []
    layer.build()
    average = None
    for step in range(8):
        number = float(step + 1)
        if step % 3 == 0:
            average = number if average is None else 0.8 * average + 0.2 * number
        expected.append(average)
        seen.append(float(numpy(layer.update(lambda number=number: (asked.append(number), np.float32(number))[1]))))
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert set(asked) >= {1.0, 4.0, 7.0}


def test_an_idle_step_does_not_count():
    layer = RunningBalance(2)
    layer.build()
    updates = [(5.0, False), (4.0, True), (9.0, True), (9.0, False), (3.0, True)]
    seen = [float(numpy(layer.update(lambda number=number: np.float32(number), active))) for number, active in updates]
    np.testing.assert_allclose(seen, [0.0, 4.0, 4.0, 4.0, 0.8 * 4.0 + 0.2 * 3.0], rtol=1e-6)


def test_its_settings():
    assert round_trip(RunningBalance(7)).every == 7
    for every in (0, True, 2.0):
        with pytest.raises(ValueError, match="every: expected a positive integer"):
            RunningBalance(every)
