"""`fit` of batches: no warning about what the user did not ask for."""

import tensorflow as tf
from harness import compiled, images, vae


def test_batches_with_an_order_of_their_own_are_no_reason_to_warn():
    batches = tf.data.Dataset.from_tensor_slices(images(8)).batch(4)
    history = compiled(vae()).fit(batches, epochs=1, verbose=0)
    assert len(history.history["loss"]) == 1
