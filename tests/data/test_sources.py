import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data.sources import hashes

pytestmark = pytest.mark.backend_free

IMAGES = np.zeros((300, 8, 8, 3), np.uint8)


@pytest.fixture
def npz(tmp_path):
    np.savez(tmp_path / "set.npz", images=IMAGES)
    return f"npz:{tmp_path / 'set.npz'}"


def both(spec, **options):
    options = {"image_size": 8, **options}
    return [open_source(spec, split=split, **options) for split in ("train", "validation")]


def test_hashes_are_those_of_blake2b():
    # b2sum --length=64 of the bytes "train/0001.jpg"
    assert hashes(["train/0001.jpg"])[0] == 0x0C543EC4DD0BC3B3 / 2**64
    values = hashes([f"{number}.jpg" for number in range(4000)])
    assert 0 <= values.min() and values.max() < 1
    np.testing.assert_allclose(np.histogram(values, 4, (0, 1))[0] / 4000, 0.25, atol=0.03)


def test_the_split_is_disjoint_whole_and_of_the_size_asked_for(npz):
    for fraction in (0.1, 0.5):
        train, held_out = both(npz, validation_fraction=fraction)
        assert sorted([*train.keys, *held_out.keys]) == sorted(f"images/{number}" for number in range(300))
        assert abs(len(held_out) / 300 - fraction) < 0.06


def test_an_image_keeps_its_side_when_others_come_and_go(make_folder):
    root = make_folder(60)
    train, held_out = both(str(root))
    for file in sorted(root.iterdir())[::3]:
        file.unlink()
    fewer_train, fewer_held_out = both(str(root))
    assert len(fewer_train) + len(fewer_held_out) == 40
    assert set(fewer_train.keys) < set(train.keys)
    assert set(fewer_held_out.keys) <= set(held_out.keys)


def test_one_image_at_least_falls_to_either_side(make_folder):
    for fraction in (0.001, 0.999):
        train, held_out = both(str(make_folder(2, name=f"two{fraction}")), validation_fraction=fraction)
        assert (len(train), len(held_out)) == (1, 1)
    with pytest.raises(UserError, match="two images or more"):
        open_source(str(make_folder(1, name="one")), image_size=8)


def test_the_sources_own_split_goes_before_the_hash(make_folder, tmp_path):
    make_folder(5, name="set/train")
    make_folder(2, name="set/validation")
    train, held_out = both(f"folder:{tmp_path / 'set'}")
    assert (len(train), len(held_out)) == (5, 2)


def test_a_validation_source_goes_before_all(make_folder, tmp_path, npz):
    make_folder(5, name="set/train")
    make_folder(2, name="set/validation")
    train, held_out = both(npz, validation=str(tmp_path / "set"))
    assert (len(train), held_out.keys) == (300, ["validation/0000.jpg", "validation/0001.jpg"])
    train, held_out = both(str(tmp_path / "set"), validation=npz)
    assert (len(train), len(held_out)) == (5, 300)


def test_count_takes_a_part_that_grows(npz):
    (small, small_held_out), (large, _) = both(npz, count=50), both(npz, count=100)
    assert (len(small), len(small_held_out), len(large)) == (50, 5, 100)
    assert set(small.keys) < set(large.keys)
    assert len(both(npz, count=10_000)[0]) > 250


def test_broken_files_of_both_sides_are_named(make_folder):
    root = make_folder(100, broken=(3, 50, 99))
    train, held_out = both(str(root), max_broken=0.2)
    assert sorted([*train.skipped, *held_out.skipped]) == ["0003.jpg", "0050.jpg", "0099.jpg"]
    assert len(train) + len(held_out) == 97


def test_kinds(make_folder, tmp_path, npz):
    assert open_source("faces", image_size=8, count=4).name == "faces"
    assert open_source(npz.removeprefix("npz:"), image_size=8).name.endswith("set.npz")
    assert open_source(f"folder:{make_folder(9)}", image_size=8).name.endswith("images")
    with pytest.raises(UserError, match="expected train-images"):
        open_source(f"idx:{tmp_path}", image_size=8)


@pytest.mark.parametrize(
    ("spec", "options", "reason"),
    [
        ("/no/such/place", {}, "which does not exist"),
        ("tfd:mnist", {}, "which does not exist"),
        ("", {}, "got ''"),
        ("folder:", {}, "'' does not exist"),
        ("folder:/no/such/place", {}, "'/no/such/place' does not exist"),
        ("npz:/no/such/file.npz", {}, "No such file"),
        ("faces", {"split": "test"}, "split: expected train or validation"),
        ("faces", {"channels": 4}, "channels: expected 1 .* or 3 .* got 4"),
        ("faces", {"image_size": 0}, "image_size: expected at least 1"),
        ("faces", {"count": 0}, "count: expected at least 1"),
        ("faces", {"validation_fraction": 1.0}, "validation_fraction: expected above 0"),
        ("faces", {"validation_fraction": float("nan")}, "validation_fraction: expected above 0"),
        ("faces", {"max_broken": -0.1}, "max_broken: expected 0 to 1"),
    ],
)
def test_mistakes_are_one_line(spec, options, reason):
    with pytest.raises(UserError, match=reason) as error:
        open_source(spec, **{"image_size": 8, **options})
    assert "\n" not in str(error.value)


def test_a_drawn_subset_is_not_the_head_of_a_sorted_source(tmp_path):
    """Images sorted by kind: the first ones are all of one kind, a drawn subset is not."""
    np.savez(tmp_path / "sorted.npz", images=np.repeat(np.arange(100, dtype=np.uint8), 64 * 3).reshape(100, 8, 8, 3))
    source = open_source(f"npz:{tmp_path / 'sorted.npz'}", image_size=8, validation="faces")
    drawn = source.draw(40, seed=1)[:, 0, 0, 0]
    assert len(set(drawn.tolist())) == 40 and 30 < drawn.mean() < 70
    np.testing.assert_array_equal(source.draw(10, seed=1)[:, 0, 0, 0], drawn[:10])
    assert not np.array_equal(source.draw(40, seed=2)[:, 0, 0, 0], drawn)
    assert len(source.draw(1000, seed=1)) == 100
