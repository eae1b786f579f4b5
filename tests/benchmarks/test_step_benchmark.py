"""The training-step benchmark, on models that take no time."""

import io
import json
import subprocess
import sys
from importlib import import_module

import keras
import numpy as np
import pytest
from harness import backend, critic, decoder, encoder, numpy
from tiny import TINY

from benchmarks import arithmetic, loops, peers, step
from benchmarks.objective import objective
from gamix_keras import assembly
from gamix_keras.config import Config
from gamix_keras.networks import ProjectedCritic, ResNetEncoder

SMALL = {**TINY, "loss.adversarial_weight": 3.0, "training.ema_decay": 0.9}


def small(**values):
    return Config().updated({**SMALL, "backend": backend(), **values})


def test_the_loop_by_hand_minimises_the_same_loss():
    config = small()
    images, numbers = loops.faces(config), objective(config)
    loop = import_module(f"benchmarks.raw_{backend()}").RawLoop(
        assembly.build_model(config), numbers, loops.JITS[backend()][0] == "true"
    )
    by_hand = [loop.run(images, 1) for _ in range(4)]
    model = assembly.build_model(config)
    fitted = [model.fit(images, batch_size=len(images), verbose=0).history["loss"][0] for _ in range(4)]
    # The noise is not the same.
    np.testing.assert_allclose(by_hand, fitted, rtol=0.02)
    assert by_hand[-1] < by_hand[0]


def test_the_loop_by_hand_keeps_to_the_constraints_of_the_networks():
    model = assembly.build_model(small())
    for network in (model.decoder, model.critic):
        network.trainable_variables[0].constraint = keras.ops.zeros_like
    jit = loops.JITS[backend()][0] == "true"
    loop = import_module(f"benchmarks.raw_{backend()}").RawLoop(model, objective(small()), jit)
    loop.run(loops.faces(small()), 1)
    if backend() == "jax":
        loop.weights = [keras.tree.flatten(loop.state[phase][0]) for phase in ("autoencoder", "critic")]
    own = [[float(abs(numpy(weight)).sum()) for weight in group] for group in loop.weights]
    first_of_decoder = len(model.encoder.trainable_variables)
    assert own[0][first_of_decoder] == 0.0 == own[1][0]
    assert own[0][0] > 0.0


@pytest.mark.backend_free
@pytest.mark.parametrize("change", [{"model.name": "vae"}, {"loss.moments": "total"}, {"loss.r1_weight": 1.0}])
def test_a_loss_that_no_loop_by_hand_has_is_left_out(change):
    assert objective(Config().updated({**SMALL, **change})) is None


@pytest.mark.backend_free
def test_the_arithmetic_is_that_of_the_kernels():
    assert arithmetic.forward_flops(encoder()) == 2 * (16 * 4 * 3 * 9 + 2 * 64 * 4)
    assert arithmetic.forward_flops(decoder()) == 2 * (4 * 128 + 64 * 2 * 3 * 9)
    # Layers within layers count too.
    network = ResNetEncoder((8, 8, 3), 4, width=4, stages=1)
    assert arithmetic.forward_flops(network) > 2 * 64 * 3 * 9 * 4


@pytest.mark.backend_free
def test_a_step_is_three_passes_and_the_critic_eight():
    parts = {"encoder": encoder(), "decoder": decoder(), "critic": critic()}
    flops = {name: arithmetic.forward_flops(part) for name, part in parts.items()}
    model = type("Model", (), parts)
    assert arithmetic.step_flops(model) == 3 * (flops["encoder"] + flops["decoder"]) + 8 * flops["critic"]


@pytest.mark.backend_free
def test_a_projected_critic_counts_its_frozen_network_and_the_draws():
    image = keras.Input((8, 8, 3))
    frozen = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same")(image))
    parts = {"encoder": encoder(), "decoder": decoder()}
    ours = {name: arithmetic.forward_flops(part) for name, part in parts.items()}
    judge = ProjectedCritic((8, 8, 3), width=4, features=frozen)
    model = type("Model", (), {**parts, "critic": judge, "adversarial_samples": 0.5})
    heads = 2 * 16 * (4 * 4 * 4 * 4 + 3 * 3 * 4)
    added = 3 * 0.5 * ours["decoder"] + (1 + 2 * 1.5) * 2 * 64 * 27 * 4 + (2 * 1.5 + 3 * 2.5) * heads
    assert arithmetic.step_flops(model) == 3 * sum(ours.values()) + added


def test_the_peak_is_a_number():
    assert arithmetic.convolution_peak("float32", 1e-3, batch=1) > 0


@pytest.mark.backend_free
def test_fit_is_timed_from_its_first_step_to_its_last(monkeypatch):
    timer, clock = loops.StepsTimer(), iter([5.0, 9.0])
    monkeypatch.setattr(loops.time, "perf_counter", lambda: next(clock))
    timer.on_epoch_begin(0)
    timer.on_train_batch_begin(0)
    timer.on_train_batch_begin(1)
    timer.on_epoch_end(0, {"loss": 1.0})
    assert timer.seconds == 4.0


@pytest.mark.slow
def test_there_is_a_row_for_each_loop():
    task = {"set": SMALL, "precisions": ["float32"], "jit": loops.JITS[backend()][0], "seconds": 0.1}
    rows = loops.measure("gamix", task)
    found = {row["loop"]: row for row in rows}
    assert {"by hand", "fit", "VAE, fit"} <= set(found)
    assert found["fit"]["of_raw"] > 0
    assert found["fit"]["flops"] > found["VAE, fit"]["flops"] > 0
    if backend() == "torch" and not peers.has_pythae():
        assert "images_per_second" not in found["pythae: not installed"]


@pytest.mark.slow
def test_losses_of_bfloat16_are_near_those_of_float32():
    (row,) = loops.compare_losses("gamix", {**SMALL}, ["mixed_bfloat16"], 3)
    assert row["steps"] == 3
    assert 0.0 < row["worst"] < 0.05


@pytest.mark.backend_free
def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    row = {"preset": "celeba64-light", "backend": "tensorflow", "precision": "float32", "jit": "false", "batch": 8}
    answer = {
        "rows": [
            {**row, "loop": "by hand", "images_per_second": 10.0, "flops": None},
            {**row, "loop": "fit", "images_per_second": 9.0, "flops": 20, "of_raw": 0.9},
        ],
        "losses": [],
        "peaks": {"float32": 360.0},
    }
    monkeypatch.setattr(step, "run_backend", lambda backend, task: answer)
    step.main(
        ["--backends", "tensorflow", "--precisions", "float32", "--batch", "8", "--out", str(tmp_path / "x.json")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("| celeba64-light | tensorflow | float32 | false | 8 | fit | 9 | 0.9 | 0.5 |")
    assert json.loads((tmp_path / "x.json").read_text())["rows"][1]["of_peak"] == 0.5


def test_without_seconds_only_losses_are_compared(tmp_path, monkeypatch):
    compared = {"worst": 0.01}
    monkeypatch.setattr(loops, "compare_losses", lambda preset, changes, precisions, steps: [compared])
    monkeypatch.setattr(loops, "measure", lambda preset, task: pytest.fail("timed"))
    task = {"presets": ["gamix"], "precisions": ["float32", "mixed_bfloat16"], "seconds": 0, "losses": 2}
    task |= {"set": {}, "seed": 0, "out": str(tmp_path / "answer.json")}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(task)))
    loops.main()
    assert json.loads((tmp_path / "answer.json").read_text()) == {"rows": [], "losses": [compared], "peaks": {}}


@pytest.mark.backend_free
def test_a_table_of_losses_alone(tmp_path, monkeypatch, capsys):
    losses = [{"preset": "paper-256", "backend": "jax", "precision": "mixed_bfloat16", "steps": 50, "worst": 0.25}]
    monkeypatch.setattr(step, "run_backend", lambda backend, task: {"rows": [], "losses": losses, "peaks": {}})
    step.main(["--backends", "jax", "--seconds", "0", "--losses", "50"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2] == "| paper-256 | jax | mixed_bfloat16 | 50 | 0.25 |"


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "model.widht=3"], "model.width"),
        (["--seconds", "0"], "expected a number above 0 if there is no --losses"),
        (["--seconds", "0", "--losses", "5", "--precisions", "float32"], "other than float32"),
    ],
)
def test_a_mistake_is_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit):
        step.main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.backend_free
def test_a_worker_that_fails_is_not_a_result():
    with pytest.raises(subprocess.CalledProcessError):
        step.run_backend("tensorflow", {}, "gamix_keras.no_such_module")
    assert sys.modules[keras.__name__] is keras
