"""Trains a tiny GAMIX-VAE on some devices and writes what it came to: `python device_run.py DEVICES FILE [alone]`.

With `alone` the moments of q(z) are those of each device's own rows, which is wrong.
"""

import os
import sys
from pathlib import Path

DEVICES, FILE, SEPARATE = int(sys.argv[1]), sys.argv[2], "alone" in sys.argv
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(1, DEVICES // PROCESSES)}"
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import keras  # noqa: E402
import numpy as np  # noqa: E402
from harness import compiled, gamix, images, numpy  # noqa: E402

from gamix_keras.distributed import devices, replicas  # noqa: E402

STEPS, BATCH = 20, 16


def virtual_cpus():
    """Make TensorFlow see several CPUs; JAX was told already, and PyTorch has a process for each."""
    if keras.config.backend() == "tensorflow" and PROCESSES == 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)


def rows_of_process(batches):
    """The rows of each batch that this process reads."""
    index, count = devices.process_shard()
    return [np.array_split(batch, count)[index] for batch in batches]


def as_data(batches):
    """Batches as `fit` is to see them, in this order."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return devices.shard(tf.data.Dataset.from_tensor_slices(np.stack(batches)))
    return ((batch,) for batch in batches)


def main():
    """Train and write."""
    devices.join()
    keras.utils.set_random_seed(0)
    with devices.scope(DEVICES):
        model = compiled(gamix(momentum=0.9, ema_decay=0.9))
        for variable in model.trainable_variables:
            variable.assign(variable + float(devices.process_shard().index))  # which `broadcast_model` must undo
        devices.broadcast_model(model)
        if SEPARATE:
            replicas.mean = lambda values: values
        batches = rows_of_process(images(STEPS * BATCH).reshape(STEPS, BATCH, 8, 8, 3))
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
