"""What `PhasedModel.compile` makes of its arguments."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import keras

from gamix_keras.training.optimizer import PhaseOptimizer

_SUFFIX = "_optimizer"


def compose(model: keras.Model, optimizer: Any, others: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Return one optimizer for all phases of a model.

    Args:
        model: A `PhasedModel`.
        optimizer: Name or instance for the first phase.
        others: Names or instances by `critic_optimizer` and the like; None for a copy of the first.

    Raises:
        ValueError: If there is no such phase, or if two phases share an optimizer.
    """
    first, *rest = model.phase_names
    given = {name: value for name, value in others.items() if value is not None}
    unknown = sorted(set(given) - {name + _SUFFIX for name in rest})
    if unknown:
        known = ", ".join(name + _SUFFIX for name in rest) or "no further optimizer"
        raise ValueError(f"compile(): expected {known}; got {unknown[0]}.")
    optimizer = keras.optimizers.get(optimizer)
    if not rest:
        return _scaled(model, optimizer)
    members = {first: optimizer}
    for name in rest:
        own = given.get(name + _SUFFIX)
        member = _copy(optimizer) if own is None else keras.optimizers.get(own)
        if any(member is taken for taken in members.values()):
            raise ValueError(
                f"compile(): {name}{_SUFFIX}: expected an optimizer of its own, got the one of another phase; "
                "leave it out for a copy with the same settings"
            )
        members[name] = member
    return PhaseOptimizer({name: _scaled(model, member) for name, member in members.items()})


def _copy(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    return type(optimizer).from_config(optimizer.get_config())


def _scaled(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    half = any(layer.compute_dtype == "float16" for layer in model._flatten_layers(include_self=False))
    if not half or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def metrics_by_name(metrics: Sequence[Any], taken: Container[str]) -> dict[str, keras.metrics.Metric]:
    """Return metrics by the names that they are logged under: strings and functions by their own, as in Keras.

    Raises:
        ValueError: If two metrics, or a metric and a term of the model, have one name.
    """
    found: dict[str, keras.metrics.Metric] = {}
    for given in metrics:
        metric = _metric(given)
        if metric.name in found or metric.name in taken:
            raise ValueError(f"compile(): metrics: expected names that are not taken, got {metric.name!r} twice")
        found[metric.name] = metric
    return found


def _metric(given: Any) -> keras.metrics.Metric:
    metric = keras.metrics.get(given)
    if isinstance(metric, keras.metrics.Metric):
        if isinstance(given, str):
            metric.name = given
        return metric
    name = given if isinstance(given, str) else getattr(metric, "__name__", "metric")
    return keras.metrics.MeanMetricWrapper(metric, name=name)
