"""Trains a tiny GAMIX-VAE on some devices and writes what it came to: `python device_run.py DEVICES FILE [WORD...]`.

With `alone` the moments of q(z) are those of each device's own rows, which is wrong. With `given` it learns to denoise,
with weights of images, by layers of ours (batch normalisation among them) and with the optimal scale, a perceptual term
and a projected critic, which share their frozen network.
"""

import os
import sys
from pathlib import Path

DEVICES, FILE, SEPARATE, GIVEN = int(sys.argv[1]), sys.argv[2], "alone" in sys.argv, "given" in sys.argv
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(1, DEVICES // PROCESSES)}"
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import keras  # noqa: E402
import numpy as np  # noqa: E402
from harness import SHAPE, compiled, gamix, images, numpy  # noqa: E402

from gamix_keras import layers  # noqa: E402
from gamix_keras.distributed import devices, replicas  # noqa: E402
from gamix_keras.losses import LaplaceNLL  # noqa: E402
from gamix_keras.models import GAMIXVAE  # noqa: E402
from gamix_keras.networks import ProjectedCritic  # noqa: E402

STEPS, BATCH = 20, 16


def made():
    """The model."""
    if not GIVEN:
        return gamix(momentum=0.9, ema_decay=0.9)
    image, z = keras.Input(SHAPE), keras.Input((4,))
    h = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(8, 3, 2, "same", use_bias=False)(image))
    h = keras.layers.Flatten()(layers.GroupNormalization(2)(h))
    encoder = keras.Model(image, [layers.Dense(4)(h), layers.Dense(4)(h)])
    y = keras.layers.Reshape((4, 4, 8))(layers.Dense(128, activation="tanh")(z))
    decoder = keras.Model(z, layers.Conv2DTranspose(3, 4, 2, "same")(layers.BatchNormalization(momentum=0.9)(y)))
    judge = ProjectedCritic(SHAPE, stages=("stage1", "stage2"), width=4)
    terms = {"adversarial": "hinge", "adversarial_weight": 1.0, "perceptual": ("stem",), "perceptual_weight": 50.0}
    return GAMIXVAE(encoder, decoder, LaplaceNLL("optimal"), judge, **terms, seed=0)


def elements():
    """Batches of images, or of (images, targets, weights)."""
    x = images(STEPS * BATCH).reshape(STEPS, BATCH, *SHAPE)
    if not GIVEN:
        return list(x)
    rng = np.random.default_rng(0)
    noisy = np.clip(x + 0.1 * rng.normal(size=x.shape), -1, 1).astype("float32")
    return list(zip(noisy, x, rng.uniform(0, 2, (STEPS, BATCH)).astype("float32"), strict=True))


def virtual_cpus():
    """Make TensorFlow see several CPUs; JAX was told already, and PyTorch has a process for each."""
    if keras.config.backend() == "tensorflow" and PROCESSES == 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)


def rows_of_process(batches):
    """The rows of each batch that this process reads."""
    index, count = devices.process_shard()
    return [keras.tree.map_structure(lambda part: np.array_split(part, count)[index], batch) for batch in batches]


def as_data(batches):
    """Batches as `fit` is to see them, in this order."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        stacked = keras.tree.map_structure(lambda *parts: np.stack(parts), *batches)
        return devices.shard(tf.data.Dataset.from_tensor_slices(stacked))
    return (batch if GIVEN else (batch,) for batch in batches)


def main():
    """Train and write."""
    devices.join()
    keras.utils.set_random_seed(0)
    with devices.scope(DEVICES):
        model = compiled(made())
        for variable in model.trainable_variables:
            variable.assign(variable + float(devices.process_shard().index))  # which `broadcast_model` must undo
        devices.broadcast_model(model)
        if SEPARATE:
            replicas.mean = lambda values: values
        batches = rows_of_process(elements())
        history = []
        with devices.replicated(model):
            for start in range(0, STEPS, 5):
                part = as_data(batches[start : start + 5])
                history.append(model.fit(part, steps_per_epoch=5, verbose=0, shuffle=False))
            held_out = model.evaluate(as_data(batches[:2]), steps=2, return_dict=True, verbose=0)
    if devices.process_shard().index == 0:
        logs = {f"fit {name}": [h.history[name][0] for h in history] for name in history[0].history}
        logs |= {f"evaluate {name}": value for name, value in held_out.items()}
        weights = {f"weight {i}": numpy(variable) for i, variable in enumerate(model.variables)}
        np.savez(FILE, **logs, **weights)
    devices.leave()


if __name__ == "__main__":
    virtual_cpus()
    main()
