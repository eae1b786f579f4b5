"""The SavedModel: every signature, run by TensorFlow's C library, against Keras."""

import io
import subprocess
import sys

import numpy as np
import pytest
from harness import backend, numpy, vae
from PIL import Image

from gamix_keras.data import to_uint8, to_unit_range
from gamix_keras.export import MOST_IMAGES
from gamix_keras.models import SecondStageVAE, TwoStageVAE
from gamix_keras.networks import SecondStageDecoder, SecondStageEncoder
from gamix_keras.samplers import FullGaussianSampler, fit_sampler

backend_free = pytest.mark.backend_free
SHAPE = (16, 16, 3)
Z = np.random.default_rng(0).standard_normal((5, 3), dtype="float32")


def pixels(files):
    return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])


def png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def files(*images):
    packed = np.empty(len(images), object)
    packed[:] = [png(image) for image in images]
    return packed


def samples(count, seed, temperature=1.0):
    given = {"count": ("int32", count), "seed": ("int64", seed), "temperature": ("float32", temperature)}
    return "sample_png", {name: np.asarray(value, dtype) for name, (dtype, value) in given.items()}


def test_decode_of_any_backend_in_a_process_with_tensorflow_only(capi, model, exported):
    wanted = numpy(model.decode(Z))
    floats, one = capi(exported, ("decode_float", {"z": Z}), ("decode_float", {"z": Z[:1]}))
    np.testing.assert_allclose(floats["image"], wanted, atol=1e-5)
    np.testing.assert_allclose(one["image"], wanted[:1], atol=1e-5)
    assert wanted.std() > 0.01, "a constant would hide differences"


@backend_free
def test_every_way_to_decode(capi, exported):
    names = ("decode_float", "decode", "serving_default", "decode_png")
    floats, image, default, file = capi(exported, *((name, {"z": Z}) for name in names))
    wanted = to_uint8(floats["image"])
    for got in (image["image"], default["image"], pixels(file["image_bytes"])):
        np.testing.assert_array_equal(got, wanted)


@backend_free
def test_encode_reconstruct_and_interpolate(capi, model, exported):
    first, second = to_uint8(numpy(model.decode(3 * Z[:2])))
    small, large = files(first, second), files(first.repeat(3, 0).repeat(3, 1)[:, 2:-3])
    ends = {"first_bytes": small[:1], "second_bytes": small[1:], "steps": np.int32([3])}
    calls = ("encode", {"image": np.stack([first, second])}), ("reconstruct_png", {"image_bytes": small})
    calls += ("interpolate_png", ends), ("reconstruct_png", {"image_bytes": large})
    latents, rebuilt, walk, resized = capi(exported, *calls)
    mean, log_var = map(numpy, model.encode(to_unit_range(np.stack([first, second]))))
    np.testing.assert_allclose(latents["mean"], mean, atol=1e-5)
    np.testing.assert_allclose(latents["log_var"], log_var, atol=1e-5)
    near = {"atol": 1, "err_msg": "PNG bytes may differ by a rounding"}
    np.testing.assert_allclose(pixels(rebuilt["image_bytes"]).astype(int), to_uint8(numpy(model.decode(mean))), **near)
    middle = to_uint8(numpy(model.decode(mean.mean(0, keepdims=True))))
    assert walk["image_bytes"].shape == (1, 3)
    shown = pixels(walk["image_bytes"][0]).astype(int)
    np.testing.assert_allclose(shown, np.concatenate([pixels(rebuilt["image_bytes"][:1]), middle, shown[2:]]), **near)
    np.testing.assert_array_equal(shown[2], pixels(rebuilt["image_bytes"])[1])
    assert pixels(resized["image_bytes"]).shape == (1, *SHAPE)


@backend_free
def test_a_large_picture_is_cropped_and_resized_as_training_data_is():
    import tensorflow as tf

    from gamix_keras.data.decoding import fit_picture
    from gamix_keras.export.images import from_files

    y, x = np.mgrid[0:50, 0:70]
    picture = np.stack([2 * x, 4 * y, x + y], -1).astype("uint8")
    wanted = fit_picture(Image.fromarray(picture), 16, 3).astype(int)
    got = to_uint8(from_files(tf.constant([png(picture)]), SHAPE).numpy())[0]
    assert np.abs(got - wanted).max() <= 1


@backend_free
def test_the_seed_fixes_samples_whatever_else_is_asked(capi, exported):
    calls = samples(4, 7), samples(4, 7), samples(2, 7), samples(4, 8), samples([2, 4], [8, 7], [1.0, 1.0])
    first, same, fewer, other, rows = (answer["image_bytes"] for answer in capi(exported, *calls))
    np.testing.assert_array_equal(first, same)
    np.testing.assert_array_equal(first[:2], fewer)
    assert not set(first) & set(other)
    assert rows.shape == (2, 4)
    np.testing.assert_array_equal(rows[1], first)
    np.testing.assert_array_equal(rows[0], [*other[:2], b"", b""])


@backend_free
def test_temperature_0_gives_the_mean_of_the_prior(capi, exported):
    cold, mean = capi(exported, samples(2, 3, 0.0), ("decode_png", {"z": np.zeros((1, 3), "float32")}))
    np.testing.assert_array_equal(cold["image_bytes"], mean["image_bytes"].repeat(2))


BAD_REQUESTS = [
    (samples(0, 1), "count: expected 1 to 64"),
    (samples(MOST_IMAGES + 1, 1), "count: expected 1 to 64"),
    (samples(1, 1, -1.0), "temperature: expected a number >= 0"),
    (samples(1, 1, np.nan), "temperature: expected a number >= 0"),
    (("decode", {"z": np.zeros((1, 4), "float32")}), "Matrix size-incompatible"),
    (("reconstruct_png", {"image_bytes": np.array([b"no picture"], object)}), "Unknown image file format"),
]


@backend_free
def test_bad_requests_are_refused(capi, exported):
    calls, messages = zip(*BAD_REQUESTS, strict=True)
    for told, message in zip(capi(exported, *calls), messages, strict=True):
        assert message in told


@backend_free
def test_only_core_operations(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    used = {node.op for part in (graph, *graph.library.function) for node in getattr(part, "node", []) or part.node_def}
    assert "Conv2D" in used
    assert not {op for op in used if "PyFunc" in op or op.startswith("Xla")}


@backend_free
def test_the_c_library_would_catch_a_python_function(capi, tmp_path):
    """Loading alone would not: a planted fault."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
    def halved(x):
        return {"y": tf.ensure_shape(tf.numpy_function(lambda v: v / 2, [x], tf.float32), [None])}

    tf.saved_model.save(tf.Module(), tmp_path / "bad", signatures={"f": halved})
    (told,) = capi(tmp_path / "bad", ("f", {"x": np.ones(2, "float32")}))
    assert "PyFunc" in told


@backend_free
def test_warm_up_requests_are_what_the_server_reads(capi, exported):
    import tensorflow as tf

    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    requests = [
        logs.PredictionLog.FromString(record.numpy()).predict_log.request
        for record in tf.data.TFRecordDataset(str(file))
    ]
    assert {request.model_spec.name for request in requests} == {"faces"}
    calls = [
        (request.model_spec.signature_name, {name: tf.make_ndarray(value) for name, value in request.inputs.items()})
        for request in requests
    ]
    assert len(calls) == 8
    assert all(isinstance(answer, dict) for answer in capi(exported, *calls))
    assert all(np.ndim(value) for _, arguments in calls for value in arguments.values()), "a batching server wants this"


@backend_free
def test_the_card_tells_all_and_no_path(exported):
    card = (exported / "README.md").read_text()
    for name in ("serving_default", "decode_float", "sample_png", "interpolate_png"):
        assert card.count(f'"{name}"') == card.count(f"| `{name}`") == 1
    assert "| `encode` | `image` uint8 (B, 16, 16, 3) | `mean` float32 (B, 3)<br>`log_var` float32 (B, 3) |" in card
    assert "- trained: 1 epochs on tensorflow" in card
    assert str(exported.parent) not in card
    assert b"/home/" not in (exported / "saved_model.pb").read_bytes()


@pytest.mark.slow
@backend_free
def test_saved_model_cli_shows_and_runs_it(exported, tmp_path):
    def command(*words):
        program = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
        return subprocess.run([*program, *words], capture_output=True, text=True, check=True).stdout

    folder = ("--dir", str(exported))
    assert "signature_def['sample_png']" in command("show", *folder, "--all")
    np.save(tmp_path / "z.npy", Z)
    given = ("--inputs", f"z={tmp_path}/z.npy", "--outdir", str(tmp_path))
    command("run", *folder, "--tag_set", "serve", "--signature_def", "decode", *given)
    assert np.load(tmp_path / "image.npy").shape == (5, *SHAPE)


@backend_free
def test_a_fitted_sampler_is_part_of_the_graph(capi, tmp_path):
    from gamix_keras.export import export_saved_model

    model, sampler = vae(), FullGaussianSampler(4)
    center = np.array([1.0, -2.0, 0.5, 3.0], "float32")
    sampler.fit(center + 1e-3 * np.random.default_rng(0).standard_normal((50, 4), dtype="float32"))
    folder, _ = export_saved_model(model, tmp_path / "m", sampler)
    drawn, mean = capi(folder, samples(3, 0), ("decode", {"z": center[None]}))
    assert np.abs(pixels(drawn["image_bytes"]).astype(int) - mean["image"]).max() <= 2


@backend_free
def test_a_two_stage_model_draws_from_its_second_stage(capi, tmp_path):
    from gamix_keras.export import export_saved_model

    stage = SecondStageVAE(SecondStageEncoder(4, 8, 1), SecondStageDecoder(4, 8, 1))
    stage.log_scale.log_scale.assign(-1.0)
    model = TwoStageVAE(vae(), stage)
    sampler = fit_sampler("second_stage", model)
    folder, _ = export_saved_model(model, tmp_path / "m", sampler)
    cold, warm = capi(folder, samples(1, 0, 0.0), samples(4, 0))
    wanted = to_uint8(numpy(model.decode(sampler(np.zeros((1, sampler.noise_dim), "float32")))))
    np.testing.assert_allclose(pixels(cold["image_bytes"]).astype(int), wanted, atol=1)
    assert len(set(warm["image_bytes"])) == 4


@backend_free
def test_the_averaged_weights_are_exported_and_the_model_keeps_its_own(capi, tmp_path):
    from gamix_keras.export import export_saved_model

    z = np.ones((1, 4), "float32")
    model = vae(ema_decay=0.9)
    wanted = numpy(model.decode(z))
    model.compile("adam")
    model.after_step()
    for variable in model.decoder.weights:
        variable.assign(variable + 0.1)
    own = numpy(model.decode(z))
    folder, _ = export_saved_model(model, tmp_path / "m")
    (got,) = capi(folder, ("decode_float", {"z": z}))
    np.testing.assert_allclose(got["image"], wanted, atol=1e-5)
    np.testing.assert_array_equal(numpy(model.decode(z)), own)
    assert np.abs(wanted - own).max() > 1e-2


@backend_free
def test_a_mixed_precision_model_is_exported_in_float32(tmp_path):
    from gamix_keras.export.networks import inference_networks

    model = vae(dtype="mixed_bfloat16")
    same = vae()
    same.set_weights(model.get_weights())
    z = np.ones((2, 4), "float32")
    wanted = numpy(same.decode(z))
    assert np.abs(numpy(model.decode(z)) - wanted).max() > 1e-4
    np.testing.assert_allclose(inference_networks(model).decode(z)["image"], wanted, atol=1e-5)


@backend_free
def test_what_differs_from_keras_is_not_written(tmp_path, monkeypatch):
    from gamix_keras.export import export_saved_model, parity, saved_model

    right = parity.expected
    wrong = lambda *a: {h: {k: v + 1e-4 for k, v in o.items()} for h, o in right(*a).items()}  # noqa: E731
    monkeypatch.setattr(saved_model.parity, "expected", wrong)
    with pytest.raises(parity.ParityError, match="expected Keras's values within 1.0e-05, got a difference of 1.0e-04"):
        export_saved_model(vae(), tmp_path / "m")
    assert not list((tmp_path / "m").iterdir())


def test_another_backend_is_told_the_way():
    from gamix_keras.export.networks import inference_networks

    if backend() == "tensorflow":
        inference_networks(vae())
    else:
        with pytest.raises(ValueError, match="expected one on the TensorFlow backend"):
            inference_networks(vae())


@pytest.mark.slow
@backend_free
@pytest.mark.parametrize("release", ["2.20", "2.19"])
def test_earlier_releases_load_and_run_it(capi, exported, tmp_path, release):
    """Fetches the C library of that release, some 600 MB unpacked."""
    wanted = [f"tensorflow-cpu=={release}.*", "--no-deps", "--target", str(tmp_path), "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
    calls = [("decode_float", {"z": Z}), ("encode", {"image": np.zeros((1, *SHAPE), "uint8")}), samples(2, 1)]
    calls += [("reconstruct_png", {"image_bytes": files(np.zeros(SHAPE, "uint8"))})]
    ends = {name: files(np.zeros(SHAPE, "uint8")) for name in ("first_bytes", "second_bytes")}
    calls += [("interpolate_png", {**ends, "steps": np.int32([2])})]
    calls += [(name, {"z": Z}) for name in ("decode", "serving_default", "decode_png")]
    now, then = capi(exported, *calls), capi(exported, *calls, libraries=tmp_path / "tensorflow")
    for here, there in zip(now, then, strict=True):
        for name, value in here.items():
            if value.dtype == object:
                assert pixels(there[name].ravel()).shape == pixels(value.ravel()).shape
            else:
                np.testing.assert_allclose(there[name], value, atol=1e-5)
