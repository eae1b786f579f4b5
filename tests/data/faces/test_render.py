import contextlib

import numpy as np
import pytest

from gamix_keras.data.faces import canvas
from gamix_keras.data.faces.factors import FACTORS, SPECS, Categorical, sample_factors
from gamix_keras.data.faces.hair import STYLES
from gamix_keras.data.faces.render import _draw, faces, render

pytestmark = pytest.mark.backend_free

CATEGORICAL = [name for name in FACTORS if isinstance(SPECS[name], Categorical)]
CONTINUOUS = [name for name in FACTORS if name not in CATEGORICAL]
CYCLIC = ("hair_strands", "background_hue", "clothes_hue")

# Where a factor may change the picture, as shares of its height and width: top, bottom, left, right.
REGIONS = {
    "glasses": (0.3, 0.7, 0.1, 0.9),
    "beard": (0.4, 1.0, 0.1, 0.9),
    "gaze": (0.35, 0.65, 0.2, 0.8),
    "eye_colour": (0.35, 0.65, 0.2, 0.8),
    "eye_opening": (0.35, 0.65, 0.2, 0.8),
    "brow_height": (0.25, 0.55, 0.15, 0.85),
    "brow_thickness": (0.25, 0.55, 0.15, 0.85),
    "nose_width": (0.35, 0.75, 0.3, 0.7),
    "mouth_opening": (0.6, 0.85, 0.25, 0.75),
    "smile": (0.55, 0.9, 0.25, 0.75),
    "lip_colour": (0.6, 0.85, 0.25, 0.75),
    "blush": (0.5, 0.75, 0.15, 0.85),
    "clothes": (0.7, 1.0, 0.0, 1.0),
    "clothes_hue": (0.7, 1.0, 0.0, 1.0),
}


def neutral(count=1, **values):
    """Factors of a frontal face with long hair before blurred lights; `values` override."""
    factors = {name: np.zeros(count, np.int64 if name in CATEGORICAL else np.float32) for name in FACTORS}
    for name in CONTINUOUS:
        factors[name] += (SPECS[name].low + SPECS[name].high) / 2
    factors["hair_style"][:] = list(STYLES).index("long")
    factors["background"][:] = SPECS["background"].values.index("bokeh")
    return factors | {name: np.broadcast_to(value, (count,)) for name, value in values.items()}


def extremes(name):
    """Every value of a categorical factor; both ends of a continuous one, two phases of a cyclic one."""
    spec = SPECS[name]
    if name in CATEGORICAL:
        return np.arange(len(spec.values))
    return np.float32([0.0, 0.4]) if name in CYCLIC else np.float32([spec.low, spec.high])


def corners(count, seed):
    """Faces whose every factor is at an end of its range."""
    draw = np.random.default_rng(seed)
    return {name: draw.choice(extremes(name), count) for name in FACTORS}


def test_names_and_ranges():
    assert len(FACTORS) >= 12 and FACTORS == tuple(SPECS)
    factors = sample_factors(4000, seed=3)
    assert tuple(factors) == FACTORS
    for name in CONTINUOUS:
        spec, values = SPECS[name], factors[name]
        width = spec.high - spec.low
        assert values.dtype == np.float32 and values.shape == (4000,)
        assert spec.low <= values.min() < spec.low + 0.01 * width
        assert spec.high - 0.01 * width < values.max() <= spec.high
        assert abs(values.mean() - (spec.low + spec.high) / 2) < 4 * width / np.sqrt(12 * 4000)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_categories_follow_their_weights(name):
    spec, count = SPECS[name], 4000
    assert len(spec.values) == len(spec.weights)
    values = sample_factors(count, seed=3)[name]
    share = np.asarray(spec.weights) / np.sum(spec.weights)
    seen = np.bincount(values, minlength=len(share)) / count
    assert values.dtype == np.int64
    np.testing.assert_array_less(np.abs(seen - share), 4 * np.sqrt(share * (1 - share) / count))


def test_every_hair_style_has_a_row():
    assert set(STYLES) == set(SPECS["hair_style"].values)


def test_factors_are_independent_of_each_other_and_of_their_neighbours():
    count = 4000
    table, other_seed = (np.stack(list(sample_factors(count, seed).values())) for seed in (5, 6))
    table = np.concatenate([table[:, 1:], table[:, :-1], other_seed[:, 1:]])
    correlation = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(count)


def test_images_are_uint8_and_repeatable():
    images, factors = faces(5, seed=2, return_factors=True)
    assert images.shape == (5, 64, 64, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, faces(5, seed=2))
    np.testing.assert_array_equal(images, render(factors))
    assert images.std(axis=(1, 2, 3)).min() > 10


def test_image_does_not_depend_on_its_batch():
    many = faces(75)  # more than one chunk
    for index in (0, 7, 31, 32, 74):
        np.testing.assert_array_equal(many[index], faces(1, start=index)[0])
    np.testing.assert_array_equal(many[20:50], faces(30, start=20))
    order = np.random.default_rng(0).permutation(75)
    shuffled = render({name: values[order] for name, values in sample_factors(75).items()})
    np.testing.assert_array_equal(shuffled, many[order])


def test_seeds_and_indices_differ():
    images = np.concatenate([faces(20, size=32, seed=seed) for seed in (0, 1, 2**70)])
    flat = images.reshape(len(images), -1).astype(float)
    distance = np.abs(flat[:, None] - flat[None]).mean(-1) + 1e9 * np.eye(len(flat))
    assert distance.min() > 5


@pytest.mark.parametrize("size", [8, 9, 20, 32, 47, 48, 65, 128])
def test_any_size_shows_the_same_pictures(size):
    images = faces(3, size=size)
    assert images.shape == (3, size, size, 3)
    small, reference = (_thumbnail(faces(3, size=side)) for side in (size, 64))
    assert np.abs(small - reference).mean() < 2.5


def _thumbnail(images, cells=4):
    """Means over cells x cells areas, whatever the size."""
    size = images.shape[1]
    edges = np.linspace(0, size, cells + 1)
    pixel = np.arange(size)
    share = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, 1)
    share /= share.sum(1, keepdims=True)
    return np.einsum("ah,bw,nhwc->nabc", share, share, images)


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_alone_changes_the_picture(name):
    values = extremes(name)
    images = render(neutral(len(values), **{name: values})).astype(float)
    for first in range(len(values)):
        for second in range(first):
            change = np.abs(images[first] - images[second]).max(-1)
            assert (change > 8).sum() >= 12, (first, second)
            _check_region(name, change > 1)


def _check_region(name, changed):
    top, bottom, left, right = (round(64 * share) for share in REGIONS.get(name, (0, 1, 0, 1)))
    outside = changed.copy()
    outside[top:bottom, left:right] = False
    assert not outside.any()


def test_background_stays_behind_the_face():
    images = render(neutral(2, background_hue=np.float32([0.0, 0.5]))).astype(int)
    change = np.abs(images[0] - images[1]).max(-1)
    assert change[20:44, 22:42].max() == 0
    assert change[:6, :6].min() > 20


def test_light_moves_the_shadow_to_the_other_side():
    left, right = render(neutral(2, light_side=np.float32([-1, 1]), hair_style=0)).astype(float)
    balance = [image[30:44, 20:28].mean() - image[30:44, 36:44].mean() for image in (left, right)]
    assert balance[0] > 15 and balance[1] < -15


def test_hair_strands_are_texture_not_tone():
    factors = neutral(2, hair_strands=np.float32([0.0, 0.35]), hair_colour=np.float32(0.6))
    images = render(factors).astype(float)
    fine = np.abs(images[0] - images[1]).mean()
    coarse = np.abs(_thumbnail(images[:1], 8) - _thumbnail(images[1:], 8)).mean()
    assert coarse < 0.5 * fine


def test_extreme_faces_are_finite_and_in_range():
    factors = {name: np.asarray(values) for name, values in corners(96, seed=1).items()}
    planes = _draw(factors, 64)
    assert planes.dtype == np.float32
    assert np.isfinite(planes).all() and planes.min() > -0.01 and planes.max() < 1.4


def test_no_crop_cuts_a_feature(monkeypatch):
    factors = corners(96, seed=2)
    cropped = render(factors).astype(int)
    crop = canvas.Canvas.crop

    @contextlib.contextmanager
    def wider(self, left, right, top, bottom, only=None):
        with crop(self, left - 0.12, right + 0.12, top - 0.12, bottom + 0.12, only) as part:
            yield part

    monkeypatch.setattr(canvas.Canvas, "crop", wider)
    difference = np.abs(cropped - render(factors)).max(axis=(1, 2, 3))
    assert difference.max() <= 1


def test_mean_face_is_a_face():
    mean = faces(256, size=32).astype(float).mean(0)
    grey = mean.mean(-1)
    asymmetry = np.abs(grey - grey[:, ::-1]).mean()
    assert asymmetry < 0.25 * grey.std()
    middle, corner = mean[12:24, 11:21], mean[:6, :6]
    redness = [area[..., 0].mean() - area[..., 2].mean() for area in (middle, corner)]
    assert redness[0] > redness[1] + 20  # skin
    assert grey[18:20, 15:17].mean() > grey[15:17, 11:14].mean() + 5  # the nose is lighter than the eyes


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"count": 0}, "count"),
        ({"count": 2.5}, "count"),
        ({"count": True}, "count"),
        ({"count": 1, "size": 7}, "size"),
        ({"count": 1, "size": "64"}, "size"),
        ({"count": 1, "seed": -1}, "seed"),
        ({"count": 1, "start": -1}, "start"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least"):
        faces(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smile": np.float32([2.0])}, "`smile` must be"),
        ({"smile": np.float32([np.nan])}, "`smile` must be"),
        ({"glasses": np.array([5])}, "`glasses` must be"),
        ({"smile": np.zeros((1, 1), np.float32)}, "`smile` must be"),
        ({"smile": np.zeros(2, np.float32)}, "one length"),
        ({"hat": np.zeros(1)}, "hat"),
    ],
)
def test_bad_factors_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        render(neutral() | change)


def test_missing_factor_is_named():
    factors = neutral()
    del factors["yaw"]
    with pytest.raises(ValueError, match="yaw"):
        render(factors)
