import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data.arrays import ArraySource
from gamix_keras.data.base import Options
from gamix_keras.data.reader import BatchReader

pytestmark = pytest.mark.backend_free


def source(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return ArraySource("test", [str(number) for number in range(count)], images, Options(4))


def order(reader, epoch):
    return np.concatenate([reader.indices(epoch, step) for step in range(reader.steps)])


def test_an_epoch_shows_every_image_once_in_a_new_order():
    reader = BatchReader(source(30), 5, training=True)
    first, second = order(reader, 0), order(reader, 1)
    np.testing.assert_array_equal(np.sort(first), np.arange(30))
    np.testing.assert_array_equal(np.sort(second), np.arange(30))
    assert (first != second).any() and (first != np.arange(30)).any()


def test_order_is_a_fixed_function_of_seed_and_epoch():
    assert order(BatchReader(source(8), 2, training=True, seed=5), 3).tolist() == [4, 1, 5, 3, 2, 0, 6, 7]
    other = BatchReader(source(8), 2, training=True, seed=6)
    assert order(other, 3).tolist() != [4, 1, 5, 3, 2, 0, 6, 7]


def test_the_last_batch_is_dropped_in_training_and_kept_otherwise():
    training, other = (BatchReader(source(11), 4, training=flag) for flag in (True, False))
    assert (training.steps, other.steps) == (2, 3)
    assert [len(other.batch(0, step)) for step in range(3)] == [4, 4, 3]
    np.testing.assert_array_equal(order(other, 7), np.arange(11))


def test_flips_mirror_about_half_of_the_images_and_only_left_to_right():
    images = source(400)
    reader = BatchReader(images, 400, training=True)
    share = []
    for epoch in (0, 1):
        originals = images.load(reader.indices(epoch, 0))
        batch = reader.batch(epoch, 0)
        mirrored = (batch == originals[:, :, ::-1]).all(axis=(1, 2, 3))
        assert (mirrored | (batch == originals).all(axis=(1, 2, 3))).all()
        share.append(mirrored[np.argsort(reader.indices(epoch, 0))])
        assert 0.4 < mirrored.mean() < 0.6
    assert 0.4 < (share[0] == share[1]).mean() < 0.6  # each epoch tosses anew
    np.testing.assert_array_equal(reader.batch(1, 0), batch)


def test_the_batch_size_cuts_the_epoch_and_changes_nothing_else():
    whole, parts = (BatchReader(source(40), size, training=True) for size in (40, 10))
    np.testing.assert_array_equal(np.concatenate([parts.batch(2, step) for step in range(4)]), whole.batch(2, 0))


@pytest.mark.parametrize(("training", "flip"), [(True, False), (False, True)])
def test_without_flips(training, flip):
    images = source(40)
    reader = BatchReader(images, 40, training=training, flip=flip)
    np.testing.assert_array_equal(reader.batch(0, 0), images.load(reader.indices(0, 0)))


def test_any_batch_can_be_asked_for_first():
    one, other = (BatchReader(source(20), 4, training=True, seed=1) for _ in range(2))
    wanted = [(0, 0), (2, 3), (1, 1), (2, 4)]
    batches = {place: one.batch(*place) for place in wanted}
    for place in reversed(wanted):
        np.testing.assert_array_equal(other.batch(*place), batches[place])


def test_mistakes():
    with pytest.raises(UserError, match="batch_size: expected at most the 3 images of test, got 4"):
        BatchReader(source(3), 4, training=True)
    with pytest.raises(UserError, match="batch_size: expected at least 1"):
        BatchReader(source(3), 0, training=False)
    assert BatchReader(source(3), 4, training=False).steps == 1
