import itertools

import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data import tfds as tfds_module
from gamix_keras.data.tfds import image_feature

tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets")
pytestmark = pytest.mark.backend_free

FEATURES = tfds.features
COLOUR = FEATURES.Image(shape=(None, None, 3))


@pytest.fixture
def mocked():
    """Every data set has seven random examples."""
    with tfds.testing.mock_data(num_examples=7, policy=tfds.testing.MockPolicy.USE_CODE):
        yield


@pytest.mark.parametrize(
    ("name", "channels"),
    [("celeb_a", 3), ("celeb_a_hq/256", 3), ("mnist", 1), ("fashion_mnist", 3), ("cifar10", 1)],
)
def test_the_image_is_found_and_fitted(mocked, name, channels):
    train, held_out = (
        open_source(f"tfds:{name}", image_size=16, channels=channels, split=split, validation_fraction=0.4)
        for split in ("train", "validation")
    )
    assert len(train) + len(held_out) == 7 and not set(train.keys) & set(held_out.keys)
    for source in (train, held_out):
        images = source.load(np.arange(len(source)))
        assert images.shape == (len(source), 16, 16, channels) and images.dtype == np.uint8
        assert images.std() > 2
        np.testing.assert_array_equal(source.load(np.array([0])), images[:1])


def test_the_parts_are_those_of_the_whole(mocked):
    images = {}
    for split in ("train", "validation"):
        source = open_source("tfds:mnist", image_size=28, channels=1, split=split, validation_fraction=0.4)
        images.update(zip(source.keys, source.load(np.arange(len(source))), strict=True))
    for number, example in enumerate(itertools.islice(tfds.load("mnist", split="train"), 7)):
        np.testing.assert_array_equal(images[f"train/{number}"], example["image"])


def test_prepared_files_with_a_split_of_their_own(tmp_path, monkeypatch):
    builder = tfds.testing.DummyMnist(data_dir=tmp_path)  # its images hold ones, which stand for white
    builder.download_and_prepare()
    monkeypatch.setattr(tfds_module, "_builder", lambda name: builder)
    for split, own in (("train", "train"), ("validation", "test")):
        source = open_source("tfds:dummy", image_size=28, channels=1, split=split)
        expected = [255 * example["image"] for example in builder.as_dataset(split=own).as_numpy_iterator()]
        assert source.keys[:2] == [f"{own}/0", f"{own}/1"]
        np.testing.assert_array_equal(source.load(np.arange(len(source))), expected)


def test_data_that_are_not_prepared_are_one_line_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match="tfds:mnist: expected data prepared in .*: tfds build mnist") as error:
        open_source("tfds:mnist", image_size=28)
    assert "\n" not in str(error.value)


def test_unknown_names_are_one_line():
    with pytest.raises(UserError, match="tfds:no_such_set: Dataset no_such_set not found") as error:
        open_source("tfds:no_such_set", image_size=28)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("features", "path"),
    [
        ({"image": COLOUR, "mask": COLOUR}, ("image",)),
        ({"label": FEATURES.Text(), "picture": COLOUR}, ("picture",)),
        ({"left": {"photo": COLOUR}, "id": np.int64}, ("left", "photo")),
    ],
)
def test_where_the_image_is(features, path):
    assert image_feature(FEATURES.FeaturesDict(features), "x") == path


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({"id": np.int64}, "got none"),
        ({"a": COLOUR, "b": COLOUR}, "got a, b"),
        ({"image": FEATURES.Image(shape=(4, 4, 1), dtype=np.float32)}, "8 or 16 bits"),
    ],
)
def test_no_clear_image(features, reason):
    with pytest.raises(UserError, match=reason):
        image_feature(FEATURES.FeaturesDict(features), "x")
