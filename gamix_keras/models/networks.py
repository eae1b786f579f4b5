"""Networks of one's own: what is asked of them, in one sentence each."""

from typing import Any

import keras


def functional(name: str, network: Any) -> keras.Model:
    """Return a network that knows its shapes: itself, or a functional model around a subclassed one.

    Args:
        name: Name of the argument, for the message.
        network: Any Keras model or layer with one input.

    Raises:
        ValueError: If it is no network, or one that was never called.
    """
    if not isinstance(network, keras.layers.Layer):
        raise ValueError(f"{name}: expected a keras.Model, got {network!r}")
    try:
        _, _ = network.input_shape, network.output_shape
        return network
    except AttributeError:
        shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
    if not shape:
        raise ValueError(
            f"{name}: expected a network that knows its input shape, got a {type(network).__name__} that was never "
            "called; call it once, for example on keras.ops.zeros((1, 64, 64, 3))"
        )
    inputs = keras.Input(shape[1:])
    return keras.Model(inputs, network(inputs), name=network.name)


def check_encoder(name: str, encoder: keras.Model) -> None:
    """Check that an encoder maps images to [mean, log_var], each (B, D).

    Raises:
        ValueError: If it does not.
    """
    shapes = [tuple(output.shape) for output in encoder.outputs]
    expected = f"{name}: expected outputs [mean, log_var], each (B, D)"
    if len(shapes) != 2:
        outputs = "1 output" if len(shapes) == 1 else f"{len(shapes)} outputs"
        raise ValueError(f"{expected}, got {outputs}")
    if len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        got = " and ".join(f"(B, {', '.join(map(str, shape[1:]))})" for shape in shapes)
        raise ValueError(f"{expected}, got {got}; flatten them and end in two Dense layers")


def check_decoder(name: str, decoder: keras.Model) -> None:
    """Check that a decoder maps latents (B, D) to one output.

    Raises:
        ValueError: If it does not.
    """
    if len(decoder.outputs) != 1:
        raise ValueError(f"{name}: expected one output, got {len(decoder.outputs)} outputs")
    if len(decoder.input_shape) != 2:
        got = ", ".join(map(str, decoder.input_shape[1:]))
        raise ValueError(f"{name}: expected latents (B, D), got an input (B, {got})")
