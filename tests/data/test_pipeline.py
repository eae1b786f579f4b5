import os
import subprocess
import sys
import textwrap
import warnings

import keras
import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import BatchReader, batches, open_source, reading, to_unit_range
from gamix_keras.data.arrays import ArraySource
from gamix_keras.data.base import Options
from gamix_keras.data.folder import FolderSource


def source(count=20, size=8):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return ArraySource("test", [str(number) for number in range(count)], images, Options(size))


def collected(dataset):
    return [batch.numpy() for batch in dataset]


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_are_the_readers_in_the_unit_range():
    dataset = batches(source(), 6, training=True, seed=3, epochs=2)
    reader = BatchReader(source(), 6, training=True, seed=3)
    expected = [to_unit_range(reader.batch(epoch, step)) for epoch in range(2) for step in range(3)]
    assert_same(collected(dataset), expected)
    assert dataset.element_spec.shape.as_list() == [None, 8, 8, 3]
    assert dataset.element_spec.dtype == "float32"
    assert int(dataset.cardinality()) == 6


def test_validation_keeps_order_and_the_last_batch():
    images = source()
    expected = to_unit_range(images.load(np.arange(20)))
    dataset = batches(images, 6, training=False)
    for _ in range(2):
        assert [len(batch) for batch in dataset] == [6, 6, 6, 2]
        np.testing.assert_array_equal(np.concatenate(collected(dataset)), expected)


def test_each_iteration_is_the_next_epoch():
    dataset = batches(source(), 5, training=True, start_epoch=2)
    assert int(dataset.cardinality()) == 4
    assert_same(collected(dataset) + collected(dataset), collected(batches(source(), 5, training=True, epochs=4))[8:])


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_resumed_run_sees_the_same_batches(make_folder, cache):
    def opened():
        return open_source(str(make_folder.root), image_size=8, max_broken=0.1)

    make_folder.root = make_folder(40, broken=(7,), size=20)
    options = {"training": True, "seed": 1, "cache": cache, "epochs": 3}
    whole = collected(batches(opened(), 6, **options))
    for epoch, step in ((0, 4), (1, 0), (2, 3)):
        steps = len(whole) // 3
        resumed = collected(batches(opened(), 6, start_epoch=epoch, start_step=step, **options))
        assert_same(resumed, whole[epoch * steps + step :])


def test_augmentation_sees_bytes_as_floats_and_is_clipped():
    seen = []

    def remember(images):
        seen.append(images.dtype.name)
        return images * 2.0

    plain, augmented = (
        np.concatenate(collected(batches(source(), 20, training=True, augment=augment, epochs=1)))
        for augment in (None, remember)
    )
    assert seen == ["float32"]
    np.testing.assert_allclose(augmented, np.clip(plain * 2 + 1, -1, 1), atol=1e-5)


def test_validation_is_not_augmented():
    dataset = batches(source(), 5, training=False, augment=lambda images: images * 0)
    assert_same(collected(dataset), collected(batches(source(), 5, training=False)))


def test_keras_layers_augment():
    layers = [keras.layers.RandomBrightness(0.4, seed=1), keras.layers.RandomTranslation(0.2, 0.2, seed=2)]
    plain = np.concatenate(collected(batches(source(), 5, training=True, epochs=1)))
    changed = np.concatenate(collected(batches(source(), 5, training=True, augment=layers, epochs=1)))
    assert changed.shape == plain.shape and changed.dtype == np.float32
    assert -1 <= changed.min() and changed.max() <= 1
    assert (np.abs(changed - plain).mean(axis=(1, 2, 3)) > 0.01).mean() > 0.9


def test_a_keras_cv_layer_augments():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras_cv = pytest.importorskip("keras_cv", reason="needs the extra keras-cv", exc_type=ImportError)
    layer = keras_cv.layers.RandomHue(0.5, value_range=(0, 255), seed=1)
    plain = np.concatenate(collected(batches(source(), 5, training=True, epochs=1)))
    changed = np.concatenate(collected(batches(source(), 5, training=True, augment=layer, epochs=1)))
    assert -1 <= changed.min() and changed.max() <= 1
    # A turn of the hue keeps the largest channel of every pixel.
    np.testing.assert_allclose(changed.max(-1), plain.max(-1), atol=0.02)
    assert np.abs(changed - plain).mean() > 0.02


def test_tf_data_has_threads_of_its_own_and_no_tuner():
    options = batches(source(), 5, training=False).options()
    assert options.autotune.enabled is False
    assert options.threading.private_threadpool_size > 1


def test_fit_takes_the_batches():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)])
    model.compile("sgd", loss=lambda _, output: keras.ops.mean(output**2))
    pairs = batches(source(), 5, training=True).map(lambda images: (images, images))
    history = model.fit(pairs, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert len(history) == 2 and np.isfinite(history).all()


def test_the_users_error_comes_through(make_folder):
    root = make_folder(40, broken=range(20))
    images = FolderSource(root, sorted(file.name for file in root.iterdir()), Options(8))
    with pytest.raises(UserError, match="of 40: 00.*jpg") as error, reading(images):
        collected(batches(images, 10, training=True, epochs=1))
    assert "\n" not in str(error.value)
    with pytest.raises(KeyError), reading(source()):
        raise KeyError


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"augment": 3}, "augment: expected a Keras layer or a function, got 3"),
        ({"start_step": 1}, "start_epoch, start_step: expected"),
        ({"start_epoch": -1}, "start_epoch, start_step: expected"),
        ({"start_epoch": 2, "epochs": 2}, "epochs: expected more than start_epoch = 2, got 2"),
        ({"start_step": 4, "epochs": 2}, "a step below 4"),
        ({"cache": "ram"}, "cache: expected one of"),
    ],
)
def test_mistakes(options, reason):
    with pytest.raises(UserError, match=reason):
        batches(source(), 5, training=True, **options)


def run(code, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    code = textwrap.dedent(code)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120, capture_output=True)


@pytest.mark.backend_free
def test_torch_comes_before_tensorflow_and_one_thread_is_enough(make_folder):
    pytest.importorskip("torch", reason="needs the extra torch")
    code = """
        import sys
        from gamix_keras.data import batches, open_source
        from gamix_keras.data.tensorflow_images import import_tensorflow
        tf = import_tensorflow()
        modules = list(sys.modules)
        assert modules.index("torch") < modules.index("tensorflow")
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        source = open_source({folder!r}, image_size=8)
        assert sum(len(batch) for batch in batches(source, 8, training=True, epochs=3, cache="none")) > 0
    """
    run(code.format(folder=str(make_folder(40, size=20))), "torch")


@pytest.mark.backend_free
def test_sources_and_readers_need_neither_keras_nor_tensorflow(make_folder):
    code = """
        import sys
        sys.modules["tensorflow"] = None
        import gamix_keras.data as data
        source = data.open_source({folder!r}, image_size=8)
        assert data.BatchReader(source, 8, training=True).batch(1, 1).shape == (8, 8, 8, 3)
        assert data.open_source("faces", image_size=8, count=9).load([0]).shape == (1, 8, 8, 3)
        assert "keras" not in sys.modules
    """
    run(code.format(folder=str(make_folder(40, size=20))), "jax")
