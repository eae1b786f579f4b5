"""One seed for every test, and one pass for tests that touch no backend."""

import keras
import pytest


def pytest_collection_modifyitems(config, items):
    """Deselects `backend_free` tests on all backends but TensorFlow: they would say the same thing thrice."""
    if keras.config.backend() == "tensorflow":
        return
    once = [item for item in items if item.get_closest_marker("backend_free")]
    if once:
        config.hook.pytest_deselected(items=once)
        items[:] = [item for item in items if item not in once]


@pytest.fixture(autouse=True)
def _seed():
    """Same random numbers whichever tests run before."""
    keras.utils.set_random_seed(1234)
