import logging

import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import cache as cache_module
from gamix_keras.data import store as store_module
from gamix_keras.data.base import Source
from gamix_keras.data.cache import Cache, cached_loader
from gamix_keras.data.store import FileStore, MemoryStore, fits_in_memory

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8)


class Counting(Source):
    """Ten images, and how often each was loaded."""

    def __init__(self):
        super().__init__("counting", [str(number) for number in range(10)], (4, 4, 3))
        self.loaded = np.zeros(10, int)

    def load(self, indices):
        self.loaded[indices] += 1
        return IMAGES[indices]

    def subset(self, positions):
        raise NotImplementedError


@pytest.mark.parametrize("cache", ["memory", "disk", "auto"])
def test_every_image_is_loaded_once(cache):
    source = Counting()
    load = cached_loader(source, cache)
    rng = np.random.default_rng(1)
    for size in (3, 10, 1, 7, 10):
        indices = rng.permutation(10)[:size]
        np.testing.assert_array_equal(load(indices), IMAGES[indices])
    np.testing.assert_array_equal(source.loaded, 1)


def test_a_thread_may_be_overtaken_by_another():
    source = Counting()
    cache = Cache(source, MemoryStore(10, (4, 4, 3)))

    def overtaken(indices):
        del source.load  # the second call is the other thread's
        cache.load(np.array([1, 4]))
        return IMAGES[indices]

    source.load = overtaken
    for indices in (np.arange(6), np.arange(10)[::-1]):
        np.testing.assert_array_equal(cache.load(indices), IMAGES[indices])
    np.testing.assert_array_equal(cache.load(np.arange(10)), IMAGES)


def test_what_is_returned_may_be_changed():
    load = cached_loader(Counting(), "memory")
    for _ in range(3):
        images = load(np.arange(10))
        np.testing.assert_array_equal(images, IMAGES)
        images[:] = 0


def test_no_cache_and_resident_sources_load_again():
    for cache, resident in (("none", False), ("memory", True)):
        source = Counting()
        source.resident = resident
        load = cached_loader(source, cache)
        load(np.array([1]))
        load(np.array([1]))
        assert source.loaded[1] == 2


def test_auto_keeps_to_its_budget(monkeypatch):
    monkeypatch.setattr(store_module, "MEMORY_BUDGET", IMAGES.nbytes)
    assert fits_in_memory(10, (4, 4, 3)) and not fits_in_memory(11, (4, 4, 3))
    monkeypatch.setattr(store_module, "MEMORY_BUDGET", IMAGES.nbytes - 1)
    source = Counting()
    assert cached_loader(source, "auto") == source.load


def test_a_full_disk_costs_the_cache_and_nothing_else(caplog):
    source = Counting()
    store = FileStore((4, 4, 3))
    cache = Cache(source, store)
    cache.load(np.arange(4))

    def full(*_):
        raise OSError(28, "No space left on device")

    store.put = full
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(cache.load(np.arange(10)), IMAGES)
    assert [record.getMessage() for record in caplog.records if "No space left" in record.getMessage()] != []
    assert len(caplog.records) == 1
    np.testing.assert_array_equal(source.loaded, [1] * 4 + [2] * 6)


@pytest.mark.parametrize("store", [MemoryStore(10, (4, 4, 3)), FileStore((4, 4, 3))], ids=["memory", "file"])
def test_stores_keep_images_by_index(store):
    store.put(np.array([9, 0]), IMAGES[[9, 0]])
    store.put(np.array([5]), IMAGES[[5]])
    np.testing.assert_array_equal(store.get(np.array([0, 5, 9])), IMAGES[[0, 5, 9]])


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="cache: expected one of auto, memory, disk, none, got 'ram'"):
        cached_loader(Counting(), "ram")
    with pytest.raises(UserError, match="cache: no room"):
        cached_loader(Counting(), "disk", tmp_path / "none")
    assert cache_module.CACHES == ("auto", "memory", "disk", "none")
