import numpy as np
import pytest

from gamix_keras.data.array_names import ArrayHeader, choose_arrays

pytestmark = pytest.mark.backend_free

IMAGES = ArrayHeader((40, 28, 28), np.dtype("u1"))
FLAT = ArrayHeader((40, 784), np.dtype("f4"))
LABELS = ArrayHeader((40,), np.dtype("i8"))
TABLE = ArrayHeader((40, 6), np.dtype("f4"))


def chosen(key="", **headers):
    return choose_arrays(headers, key, "npz:a.npz")


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ({"images": IMAGES, "labels": LABELS}, ["images"]),
        ({"imgs": IMAGES, "latents_values": TABLE, "latents_classes": TABLE}, ["imgs"]),  # dSprites
        ({"X": IMAGES, "y": LABELS}, ["X"]),
        ({"X": FLAT, "y": LABELS}, ["X"]),
        ({"arr_0": IMAGES, "arr_1": LABELS}, ["arr_0"]),
        ({"arr_0": LABELS, "arr_1": IMAGES}, ["arr_1"]),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS}, ["x_train", "x_test"]),
        ({"x_train": IMAGES, "x_val": IMAGES, "x_test": IMAGES}, ["x_train", "x_val"]),
        ({"X_train": FLAT, "X_test": FLAT}, ["X_train", "X_test"]),
        ({"train/photos": IMAGES, "test/photos": IMAGES, "train/labels": LABELS}, ["train/photos", "test/photos"]),
        ({"train_set_x": IMAGES, "test_set_x": IMAGES, "train_set_y": LABELS}, ["train_set_x", "test_set_x"]),
        ({"anything": IMAGES}, ["anything"]),
        ({"anything": FLAT}, ["anything"]),
    ],
)
def test_names_that_people_use(headers, names):
    assert list(chosen(**headers).values()) == names


def test_medmnist():
    names = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("images", "labels")]
    headers = {name: IMAGES if name.endswith("images") else LABELS for name in names}
    assert chosen(**headers) == {"train": "train_images", "validation": "val_images"}


def test_a_name_that_is_given():
    assert chosen("b", a=IMAGES, b=IMAGES) == {"train": "b"}
    with pytest.raises(ValueError, match=r"expected an array 'c', got a \(40, 28, 28\) uint8, b"):
        chosen("c", a=IMAGES, b=IMAGES)


@pytest.mark.parametrize("headers", [{}, {"a": IMAGES, "b": IMAGES}, {"labels": LABELS, "table": TABLE}])
def test_no_clear_array_lists_them_and_says_how_to_name_one(headers):
    with pytest.raises(ValueError, match="expected one array of images, got .*; name one, as in npz:a.npz#") as error:
        chosen(**headers)
    assert all(name in str(error.value) for name in headers)
