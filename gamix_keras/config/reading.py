"""Which settings a configuration reads, and which it leaves aside.

A setting is read if every condition on it holds: those that the rows of `catalogue` imply (`loss.beta` is an argument
of `VAE` alone), and the one that its declaration names (`loss.warmup_shape` needs `loss.warmup`).
"""

import functools
from collections.abc import Mapping
from typing import Any

from gamix_keras.config.catalogue import CRITICS, LIKELIHOODS, NETWORKS, OBJECTIVES
from gamix_keras.config.setting import Condition, UserError, Value, declared, shown

Config = Any
# Each table by the setting that chooses a row of it.
_TABLES: dict[str, Mapping[str, Any]] = {
    "model.name": OBJECTIVES,
    "model.network": NETWORKS,
    "model.critic_network": CRITICS,
    "loss.likelihood": LIKELIHOODS,
}


@functools.cache
def conditions(config: type) -> dict[str, tuple[Condition, ...]]:
    """Return the conditions of every setting of a class of configurations, without those that another one implies.

    A setting without conditions always does something.
    """
    found = {key: _conditions(key, entry.metadata["needs"]) for key, entry in declared(config).items()}
    return {key: tuple(one for one in own if not _implied(one, own, found)) for key, own in found.items()}


def _conditions(key: str, needs: Condition | None) -> list[Condition]:
    found = [needs] if needs else []
    for chooser, rows in _TABLES.items():
        readers = tuple(name for name, row in rows.items() if key in row.reads())
        if readers and len(readers) < len(rows):
            found.append(Condition(chooser, readers))
    if any(key in row.reads_with_critic() for row in OBJECTIVES.values()):
        found.append(Condition("model.critic"))
    return found


def _implied(one: Condition, own: list[Condition], found: Mapping[str, list[Condition]]) -> bool:
    return any(one in found[other.key] for other in own)


def unmet(config: Config, key: str) -> Condition | None:
    """Return the condition that keeps a configuration from reading a setting; None if it is read."""
    for condition in conditions(type(config))[key]:
        deeper = unmet(config, condition.key)
        if deeper or not condition.holds(config.get(condition.key)):
            return deeper or condition
    return None


def is_read(config: Config, key: str) -> bool:
    """Return whether a setting makes a difference to what a configuration trains."""
    return unmet(config, key) is None


def check_read(config: Config, named: Mapping[str, Value]) -> None:
    """Check that the settings which a user named do something.

    A default is accepted, because that is how the value of a recipe is taken back; so is `False`, which is the case.

    Args:
        config: The configuration with these settings.
        named: Values by dotted key.

    Raises:
        UserError: Names the first that does nothing, and what it needs.
    """
    entries = declared(type(config))
    for key, value in named.items():
        condition = unmet(config, key)
        if condition and value is not False and value != entries[key].default:
            got = f"{condition.key}={shown(config.get(condition.key))}"
            raise UserError(f"{key}: expected {condition}, without which it does nothing, got {got}")


def described(config: type, key: str) -> str:
    """Return what a setting does, with what it needs: `weight of the standard KL (only with ...)`."""
    needed = " and ".join(map(str, conditions(config)[key]))
    return declared(config)[key].metadata["help"] + (f" (only with {needed})" if needed else "")
