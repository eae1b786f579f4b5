"""Models are made with little optimisation on JAX, and nothing after them is."""

import pytest
from harness import backend

from gamix_keras.training.building import building

pytestmark = pytest.mark.skipif(backend() != "jax", reason="nothing happens on other backends")
NAME = "jax_disable_most_optimizations"


def test_only_what_is_built_is_hardly_optimised():
    import jax

    with building():
        assert jax.config.read(NAME) is True
    assert jax.config.read(NAME) is False


def test_training_is_optimised_where_building_failed():
    import jax

    with pytest.raises(KeyError), building():
        raise KeyError
    assert jax.config.read(NAME) is False
