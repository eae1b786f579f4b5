import numpy as np
import pytest

from gamix_keras.metrics.smoothness import path_smoothness

pytestmark = pytest.mark.backend_free

T = np.linspace(0.0, 1.0, 2001)[:, None]


def test_a_straight_line_at_even_speed_is_as_smooth_as_can_be():
    line = T[::400] * np.array([3.0, 4.0])
    found = path_smoothness(np.stack([line, line + 7.0]))
    np.testing.assert_allclose((found.ratio, found.largest_step, found.length), (1.0, 0.2, 5.0), rtol=1e-12)
    assert (found.paths, found.steps) == (2, 5)


def test_half_a_circle_is_pi_over_two_times_its_diameter():
    arc = np.concatenate([np.cos(np.pi * T), np.sin(np.pi * T)], axis=1)
    assert path_smoothness(arc[None]).ratio == pytest.approx(np.pi / 2, rel=1e-6)


def test_a_jump_is_one_large_step():
    jump = np.where(T[::200] < 0.5, 0.0, 1.0) * np.ones(4)
    assert path_smoothness(jump[None]).largest_step == pytest.approx(1.0)


def test_paths_without_two_ends_are_left_out():
    """What a decoder that ignores z gives."""
    still, line = np.ones((1, 5, 3)), np.tile(T[::500], (1, 3))[None]
    assert path_smoothness(still)[:2] == (None, None)
    found = path_smoothness(np.concatenate([still, line]))
    assert (found.ratio, found.paths) == (pytest.approx(1.0), 1)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"\(N, T, D\) with T >= 2"):
        path_smoothness(np.zeros((3, 1, 2)))
