"""Networks of one's own: what is asked of them, in one sentence each."""

from typing import Any

import keras


def functional(name: str, network: Any, input_shape: tuple[int, ...] | None = None) -> keras.Model:
    """Return a network that knows its shapes: itself, or a functional model around a subclassed one.

    Args:
        name: Name of the argument, for the message.
        network: Any Keras model or layer with one input.
        input_shape: Shape of an image or a latent vector that a network which was never called is built for; None if
            nothing tells it.

    Raises:
        ValueError: If it is no network, or one that was never called while its input shape is not known.
    """
    _check_network(name, network)
    if _knows_shapes(network):
        return network
    shape = _called_with(network) or input_shape
    if not shape:
        raise ValueError(
            f"{name}: expected a network that knows its input shape, got a {type(network).__name__} that was never "
            "called; call it once, for example on keras.ops.zeros((1, 64, 64, 3))"
        )
    inputs = keras.Input(shape)
    return keras.Model(inputs, network(inputs), name=network.name)


def functional_pair(owner: str, encoder: Any, decoder: Any, channel_factor: int = 1) -> tuple[keras.Model, keras.Model]:
    """Return an encoder and a decoder that know their shapes; one that was never called is built to fit the other.

    Args:
        owner: What the messages begin with.
        encoder: Maps images to [mean, log_var].
        decoder: Maps latents to `channel_factor` times the channels of an image.
        channel_factor: 2 if the decoder gives a scale per pixel, else 1.

    Raises:
        ValueError: If neither was ever called, or an output is not what is expected.
    """
    names = f"{owner}: encoder", f"{owner}: decoder"
    for name, network in zip(names, (encoder, decoder), strict=True):
        _check_network(name, network)
    if not _is_known(encoder) and _is_known(decoder):
        decoder = functional(names[1], decoder)
        check_decoder(names[1], decoder)
        *sides, channels = decoder.output_shape[1:]
        encoder = functional(names[0], encoder, (*sides, channels // channel_factor))
    encoder = functional(names[0], encoder)
    check_encoder(names[0], encoder)
    decoder = functional(names[1], decoder, tuple(encoder.outputs[0].shape[1:]))
    check_decoder(names[1], decoder)
    return encoder, decoder


def _check_network(name: str, network: Any) -> None:
    if not isinstance(network, keras.layers.Layer):
        raise ValueError(f"{name}: expected a keras.Model, got {network!r}")


def _is_known(network: keras.layers.Layer) -> bool:
    return _knows_shapes(network) or _called_with(network) is not None


def _knows_shapes(network: keras.layers.Layer) -> bool:
    try:
        _, _ = network.input_shape, network.output_shape
    except AttributeError:
        return False
    return True


def _called_with(network: keras.layers.Layer) -> tuple[int, ...] | None:
    """Return the shape of an image or a vector that a subclassed network was called with, or None."""
    shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
    return tuple(shape[1:]) if shape else None


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
