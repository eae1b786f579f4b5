"""The base of every trainable model: it declares phases, and the backend's step walks them."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import keras
from keras import ops

from gamix_keras.distributed import devices
from gamix_keras.training.guard import StepGuard, Update
from gamix_keras.training.optimizer import PhaseOptimizer
from gamix_keras.training.phase import Phase, Terms

_STEPS = {
    "tensorflow": ("gamix_keras.training.tensorflow_steps", "TensorFlowSteps"),
    "jax": ("gamix_keras.training.jax_steps", "JaxSteps"),
    "torch": ("gamix_keras.training.torch_steps", "TorchSteps"),
}
_FURTHER = ("seed_", "metric_")


def _backend_steps() -> type:
    backend = keras.config.backend()
    if backend not in _STEPS:
        raise ImportError(f"backend: expected one of {', '.join(_STEPS)}; got {backend!r}.")
    module, name = _STEPS[backend]
    return getattr(import_module(module), name)


class PhasedModel(_backend_steps(), keras.Model):
    """A `keras.Model` that is trained phase by phase; `fit`, `evaluate`, `save` and callbacks work as ever.

    Interface: a subclass implements `call`, `phases()` and `phase_names`, and fills `self.trackers`, a dict of
    `keras.metrics.Metric` by term name. Its own dtype is float32: the networks inside may be mixed, and each
    phase's optimizer scales its own loss, so an overflow in one phase skips only that phase's update.

    A term that itself needs a gradient (a penalty on a critic's slope, a ratio of gradients) asks
    `self.input_gradient(function, inputs, again=False)`, which each backend's steps define: `function(inputs)`
    returns (scalar, other), and it returns (d scalar / d inputs, other). The gradient can be differentiated again,
    by the variables that the function reads, where `again` is True; `other` can be only then. The function must
    not change a variable (no batch statistics, no dropout): on JAX it is traced within the step's trace.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.trackers: dict[str, keras.metrics.Metric] = {}
        self.step_guard = StepGuard()
        self.guarding = False

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases in order; known before `compile`."""
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        """The minimisations of one training step, in order."""
        raise NotImplementedError

    def phase_optimizer(self, name: str) -> keras.optimizers.Optimizer:
        """The optimizer of a phase: a member of the composite, or the only one there is."""
        return self.optimizer[name] if isinstance(self.optimizer, PhaseOptimizer) else self.optimizer

    @property
    def steps_done(self) -> int:
        """Training steps so far, over every `fit` and resumption (on JAX up to date between epochs).

        A step whose float16 gradients overflowed does not count.
        """
        optimizer = self.phase_optimizer(self.phase_names[0])
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # On several devices of TensorFlow, Python alone cannot make a number of a variable.
        return int(ops.convert_to_numpy(optimizer.iterations)) * (optimizer.gradient_accumulation_steps or 1)

    def guard_steps(self) -> None:
        """From now on a training step with a number that is not finite is not made, and noted in `step_guard`.

        That is an image, a loss, another term, or a gradient or step size (where no loss scale looks after them).
        Weights, slots of the optimizers, moving statistics and metrics are then as before the step; the random
        generators have moved on. Weights that overflow although all of these were finite are noted too.
        """
        if not self.guarding:
            self.guarding, states = True, self.loss_states
            # Found once: finding them takes PyTorch as long as using them. Keras would take an attribute that holds
            # variables for variables of the model itself.
            self._states_to_keep = lambda: states
            self.train_function = None  # one that is there already was compiled without

    @property
    def _undone_variables(self) -> list[keras.Variable]:
        """What a bad step must leave as it was."""
        states = [*self.loss_states, *self.settled_variables]
        return [*self.trainable_variables, *states, *self.optimizer.variables, *self.tracker_variables]

    @property
    def loss_states(self) -> list[keras.Variable]:
        """What a pass forward may move: moving statistics and the like, but for the random generators."""
        others = {id(variable) for variable in [*self._seed_states(), *self.settled_variables]}
        return [variable for variable in self.non_trainable_variables if id(variable) not in others]

    @property
    def settled_variables(self) -> list[keras.Variable]:
        """What only `after_step` moves."""
        return []

    def make(self, updates: Sequence[Update], batch_size: Any) -> None:
        """Moves the weights, and whatever follows them, now that all gradients are there."""
        for phase, terms, gradients in updates:
            phase.optimizer.apply(gradients, phase.variables)
            self.track(phase, terms, batch_size)
        self.after_step()

    def after_step(self) -> None:
        """Runs at the end of each training step, within the compiled function: for what follows the weights."""

    def fit(self, x: Any = None, *arguments: Any, **options: Any) -> keras.callbacks.History:
        """Train by `keras.Model.fit`; batches of `tf.data` keep their order, without a warning about it."""
        tf = sys.modules.get("tensorflow")
        if tf is not None and isinstance(x, tf.data.Dataset):
            options.setdefault("shuffle", False)
        return super().fit(x, *arguments, **options)

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        **phase_optimizers: keras.optimizers.Optimizer | None,
    ) -> None:
        """Configures training.

        Args:
            optimizer: name or instance for the first phase.
            jit_compile: `"auto"` is True on JAX, False on PyTorch (`torch.compile` does not get through a step), and on
                TensorFlow True where there is a GPU.
            run_eagerly: as in Keras.
            steps_per_execution: as in Keras, which refuses more than 1 on PyTorch.
            **phase_optimizers: `critic_optimizer=` and the like, one per further phase; a phase without one gets a
                copy of the first with the same settings.

        Raises:
            ValueError: where an optimizer is given for a phase that the model does not have.
        """
        composed = self._compose(optimizer, phase_optimizers)
        super().compile(
            optimizer=composed,
            loss=None,
            jit_compile=self.default_jit() if jit_compile == "auto" else jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self._requested = {
            "jit_compile": jit_compile,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
        }
        self._build_optimizer()

    def _compose(self, optimizer: Any, others: dict[str, Any]) -> keras.optimizers.Optimizer:
        if isinstance(optimizer, PhaseOptimizer):
            return optimizer
        first, *rest = self.phase_names
        given = {name.removesuffix("_optimizer"): value for name, value in others.items() if value is not None}
        unknown = sorted(set(given) - set(rest))
        if unknown:
            known = ", ".join(f"{name}_optimizer" for name in rest) or "no further optimizer"
            raise ValueError(f"compile(): expected {known}; got {unknown[0]}_optimizer.")
        optimizer = keras.optimizers.get(optimizer)
        if not rest:
            return self._scaled(optimizer)
        copies = {name: given.get(name) or type(optimizer).from_config(optimizer.get_config()) for name in rest}
        members = {first: optimizer, **{name: keras.optimizers.get(o) for name, o in copies.items()}}
        return PhaseOptimizer({name: self._scaled(member) for name, member in members.items()})

    def _scaled(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        half = any(layer.compute_dtype == "float16" for layer in self._flatten_layers(include_self=False))
        if not half or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def _build_optimizer(self) -> None:
        variables = {phase.name: phase.variables for phase in self.phases()}
        if isinstance(self.optimizer, PhaseOptimizer):
            self.optimizer.build_members(variables)
        elif not self.optimizer.built:
            self.optimizer.build(list(variables[self.phase_names[0]]))

    def get_compile_config(self) -> dict[str, Any]:
        """The settings as requested, so that `"auto"` is decided anew on the backend that loads the file."""
        if not self.compiled:
            return {}
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer), **self._requested}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @staticmethod
    def unpack(data: Any) -> Any:
        """The images of a batch as float32; targets and sample weights, if any, are not used."""
        return ops.convert_to_tensor(keras.utils.unpack_x_y_sample_weight(data)[0], dtype="float32")

    def track(self, phase: Phase, terms: Terms, batch_size: Any) -> None:
        """Feeds each term to its tracker.

        A scalar is a batch's mean, weighted by the batch's size; a tuple is what another metric takes.
        """
        for name, value in terms.items():
            if name == "loss" and phase.name != self.phase_names[0]:
                name = phase.name
            if isinstance(value, tuple):
                self.trackers[name].update_state(*value)
            else:
                self.trackers[name].update_state(value, sample_weight=batch_size)

    def save_own_variables(self, store: Any) -> None:
        """Adds what Keras leaves out and exact resuming needs: random generators, and metrics within an epoch."""
        super().save_own_variables(store)
        for name, variable in self._further_states().items():
            store[name] = ops.convert_to_numpy(devices.local_part(variable))

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` stored; files written without these states load too."""
        further = self._further_states()
        super().load_own_variables({key: store[key] for key in store.keys() if not key.startswith(_FURTHER)})
        for name, variable in further.items():
            if name in store.keys():
                devices.local_part(variable).assign(store[name])

    def _further_states(self) -> dict[str, keras.Variable]:
        seeds = {f"seed_{i}": variable for i, variable in enumerate(self._seed_states())}
        return seeds | {f"metric_{i}": variable for i, variable in enumerate(self.tracker_variables)}

    @property
    def tracker_variables(self) -> list[keras.Variable]:
        """The running means of the epoch's terms."""
        return [variable for tracker in self.trackers.values() for variable in tracker.variables]

    def _seed_states(self) -> list[keras.Variable]:
        weights = {id(variable) for variable in self.weights}
        return [variable for variable in self.non_trainable_variables if id(variable) not in weights]
