"""The base of every trainable model: it declares phases, and the backend's step walks them."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.distributed import devices
from gamix_keras.training import compiling
from gamix_keras.training.batch import Batch
from gamix_keras.training.fitting import StepSizes, looking, point, refuse_h5
from gamix_keras.training.guard import StepGuard
from gamix_keras.training.optimizer import PhaseOptimizer
from gamix_keras.training.phase import Phase, Terms

_STEPS = {
    "tensorflow": ("gamix_keras.training.tensorflow_steps", "TensorFlowSteps"),
    "jax": ("gamix_keras.training.jax_steps", "JaxSteps"),
    "torch": ("gamix_keras.training.torch_steps", "TorchSteps"),
}
_RATE_SCALE = "rate_scale"
_FURTHER = ("seed_", "metric_", _RATE_SCALE)


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
    by the variables that the function reads, if `again` is True; `other` can be only then. The function must not
    change a variable (no batch statistics, no dropout): on JAX it is traced within the step's trace.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.trackers: dict[str, keras.metrics.Metric] = {}
        self.step_guard = StepGuard()
        self.guarding = False
        self.rate_scale = 1.0
        self.must_look = False
        # Keras would track what it finds in a plain dict, and would refuse to once the model is built.
        self._compiled_metrics = MappingProxyType({})
        self._compiled_variables = MappingProxyType({})

    @property
    def phase_names(self) -> tuple[str, ...]:
        """The names of the phases in order; known before `compile`."""
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        """Return the minimisations of one training step, in order."""
        raise NotImplementedError

    def compiled_phases(self) -> list[Phase]:
        """Return the phases with the variables that were trainable at `compile`: as in Keras, freezing waits for it."""
        known, resting = self._compiled_variables, {id(variable) for variable in self.resting_variables}
        compiled = [phase._replace(variables=known.get(phase.name, phase.variables)) for phase in self.phases()]
        if not resting:
            return compiled
        return [each._replace(variables=[v for v in each.variables if id(v) not in resting]) for each in compiled]

    @property
    def resting_variables(self) -> list[keras.Variable]:
        """What no step moves although it was trainable at `compile`, see `freeze_encoder` of a VAE."""
        return []

    def phase_optimizer(self, name: str) -> keras.optimizers.Optimizer:
        """Return the optimizer of a phase: a member of the composite, or the only one there is."""
        return self.optimizer[name] if isinstance(self.optimizer, PhaseOptimizer) else self.optimizer

    def lower_rates(self, factor: float) -> float:
        """Multiply the step sizes by a factor and return that of the first phase.

        It is for good: `rate_scale`, the product of the factors, is saved with the model, and schedules keep to it.
        """
        self.rate_scale *= factor
        self.optimizer.learning_rate = float(ops.convert_to_numpy(self.optimizer.learning_rate)) * factor
        return float(ops.convert_to_numpy(self.optimizer.learning_rate))

    @property
    def steps_done(self) -> int:
        """Training steps so far, over every `fit` and resumption (on JAX up to date between epochs).

        A step whose float16 gradients overflowed does not count.
        """
        # On several devices of TensorFlow, Python alone cannot make a number of a variable.
        return int(ops.convert_to_numpy(self.phase_steps(self.phase_names[0])[0]))

    def has_moved(self) -> Any:
        """Return 1 if the step that was just made moved weights, 0 if it only accumulated gradients."""
        steps, every = self.phase_steps(self.phase_names[0])
        return 1.0 if every == 1 else ops.cast(ops.equal(steps % every, 0), "float32")

    def phase_steps(self, name: str) -> tuple[keras.Variable, int]:
        """Return the count of steps of a phase's optimizer, and how many of them one update takes."""
        optimizer = self.phase_optimizer(name)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # `optimizer.iterations` counts updates instead.
        steps = next(variable for variable in optimizer.variables if variable.name == "iteration")
        return steps, optimizer.gradient_accumulation_steps or 1

    def guard_steps(self) -> None:
        """Leave out, and note in `step_guard`, every training step from now on with a number that is not finite.

        That is an image, a loss, another term, or a gradient or step size (unless a loss scale looks after them).
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
        others = [*self._seed_states(), *self.settled_variables, *self.setting_variables]
        ids = {id(variable) for variable in others}
        return [variable for variable in self.non_trainable_variables if id(variable) not in ids]

    @property
    def settled_variables(self) -> list[keras.Variable]:
        """What only `after_step` moves."""
        return []

    @property
    def setting_variables(self) -> list[keras.Variable]:
        """What callbacks assign and weights files do not hold."""
        return []

    def after_step(self) -> None:
        """Run at the end of each training step, within the compiled function: for what follows the weights."""

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: None = None,
        metrics: Sequence[Any] | None = None,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        **phase_optimizers: keras.optimizers.Optimizer | None,
    ) -> None:
        """Configure training.

        Args:
            optimizer: Name or instance for the first phase.
            loss: Not for use: a model has its own loss.
            metrics: Metrics of the targets and their reconstructions, as in Keras; not weighted by `sample_weight`.
            jit_compile: `"auto"` is True on JAX, False on PyTorch (`torch.compile` does not get through a step), and on
                TensorFlow True if there is a GPU.
            run_eagerly: As in Keras.
            steps_per_execution: As in Keras, which refuses more than 1 on PyTorch.
            **phase_optimizers: `critic_optimizer=` and the like, one per further phase; a phase without one gets a
                copy of the first with the same settings.

        Raises:
            ValueError: If a loss is given, an optimizer for a phase that the model does not have, one optimizer for
                two phases, or a metric with the name of a term.
        """
        if loss is not None:
            raise ValueError(f"compile(): loss: expected None, since {type(self).__name__} has its own, got {loss!r}")
        composed = optimizer
        if not isinstance(optimizer, PhaseOptimizer):
            composed = compiling.compose(self, optimizer, phase_optimizers)
        self._compiled_metrics = MappingProxyType(compiling.metrics_by_name(metrics or (), self.trackers))
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

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, callbacks: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does; the first batch is looked at, and logs have the step sizes.

        Batches of `tf.data` keep their order, without a warning about it.
        """
        tf = sys.modules.get("tensorflow")
        if tf is not None and isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)
        self.must_look = True
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [StepSizes(), *_as_list(callbacks)]
            point(callbacks, self.trackers)
        self._warn_of_freezing()
        y = _with_weights(x, y, sample_weight)
        return super().fit(x, y, *args, callbacks=callbacks, sample_weight=sample_weight, **kwargs)

    def _warn_of_freezing(self) -> None:
        compiled = {id(variable) for part in self._compiled_variables.values() for variable in part}
        if self.compiled and compiled != {id(v) for phase in self.phases() for v in phase.variables}:
            warnings.warn(
                "fit: a layer's `trainable` state has changed since compile(); it takes effect at the next compile()",
                UserWarning,
                stacklevel=3,
            )

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, sample_weight: Any = None, **kwargs: Any) -> Any:
        """Evaluate as `keras.Model.evaluate` does."""
        y = _with_weights(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train on one batch as `keras.Model.train_on_batch` does."""
        return super().train_on_batch(x, _with_weights(x, y, sample_weight), sample_weight, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch as `keras.Model.test_on_batch` does."""
        return super().test_on_batch(x, _with_weights(x, y, sample_weight), sample_weight, *args, **kwargs)

    def look_at(self, data: Any) -> None:
        """Judge the first batch of a fit, on the host, before it is trained on."""

    def make_train_function(self, force: bool = False) -> None:
        """Compile the train function, and have it look at the first batch of each fit."""
        super().make_train_function(force)
        if not hasattr(self.train_function, "looks"):
            self.train_function = looking(self, self.train_function)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save the model as `keras.Model.save` does, to a path that ends in `.keras`."""
        refuse_h5(filepath)
        super().save(filepath, *args, **kwargs)

    def _build_optimizer(self) -> None:
        variables = {phase.name: tuple(phase.variables) for phase in self.phases()}
        self._compiled_variables = MappingProxyType(variables)
        if isinstance(self.optimizer, PhaseOptimizer):
            self.optimizer.build_members(variables)
        elif not self.optimizer.built:
            self.optimizer.build(list(variables[self.phase_names[0]]))

    def get_compile_config(self) -> dict[str, Any]:
        """Return the settings as requested, so that `"auto"` is decided anew on the backend that loads the file."""
        if not self.compiled:
            return {}
        metrics = [keras.saving.serialize_keras_object(metric) for metric in self._compiled_metrics.values()]
        own = {"metrics": metrics} if metrics else {}
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer), **own, **self._requested}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The trackers of the terms, the guard's count of steps, and the metrics given to `compile`."""
        # Keras's own tracker of a loss, which no step here feeds, would put a second `loss` into every list of names.
        known = [metric for metric in super().metrics if metric is not self._loss_tracker]
        return [*known, *self._compiled_metrics.values()]

    @property
    def metrics_names(self) -> list[str]:
        """The names of the numbers that `evaluate` returns, in its order."""
        is_silent = lambda metric: metric is self.step_guard or getattr(metric, "is_silent", False)  # noqa: E731
        return [metric.name for metric in self.metrics if not is_silent(metric)]

    def unpack(self, data: Any) -> Batch:
        """Return a batch of what `fit` was given, see `Batch.of`."""
        return Batch.of(*keras.utils.unpack_x_y_sample_weight(data), start=self.trackers["loss"].count)

    def track(self, phase: Phase, terms: Terms, batch: Batch) -> None:
        """Feed each term to its tracker.

        A scalar is a batch's mean, weighted by the batch's size; a tuple is what another metric takes.
        """
        trackers = {**self.trackers, **self._compiled_metrics}
        for name, value in terms.items():
            if name == "loss" and phase.name != self.phase_names[0]:
                name = phase.name
            if isinstance(value, tuple):
                trackers[name].update_state(*value)
            else:
                trackers[name].update_state(value, sample_weight=batch.size)

    def metric_terms(self, targets: Any, outputs: Any) -> Terms:
        """Return what the metrics given to `compile` take."""
        return {name: (targets, outputs) for name in self._compiled_metrics}

    def added_losses(self, *networks: keras.layers.Layer | None) -> Any:
        """Return what Keras adds to a loss after a pass of some networks, or None: regularisers and `add_loss`."""
        losses = [loss for network in networks if network is not None for loss in network.losses]
        return sum(ops.sum(ops.cast(loss, "float32")) for loss in losses) if losses else None

    def save_own_variables(self, store: Any) -> None:
        """Store what Keras leaves out and exact resuming needs: generators, metrics within an epoch, lowered rates."""
        super().save_own_variables(store)
        for name, variable in self._further_states().items():
            store[name] = ops.convert_to_numpy(devices.local_part(variable))
        if self.rate_scale != 1.0:
            store[_RATE_SCALE] = np.array(self.rate_scale)

    def load_own_variables(self, store: Any) -> None:
        """Restore what `save_own_variables` stored; files written without these states load too."""
        further = self._further_states()
        count = sum(not key.startswith(_FURTHER) for key in store.keys())
        own = self._without_old_settings([store[str(number)] for number in range(count)])
        super().load_own_variables({str(number): value for number, value in enumerate(own)})
        for name, variable in further.items():
            if name in store.keys():
                devices.local_part(variable).assign(store[name])
        self.rate_scale = float(np.asarray(store[_RATE_SCALE])) if _RATE_SCALE in store.keys() else 1.0

    def _without_old_settings(self, values: list[Any]) -> list[Any]:
        """Files of early versions have the weights of terms first among the model's own variables."""
        own = len(self._trainable_variables) + len(self._non_trainable_variables)
        settings = len(self.setting_variables)
        return values[settings:] if len(values) == own + settings else values

    def _further_states(self) -> dict[str, keras.Variable]:
        seeds = {f"seed_{i}": variable for i, variable in enumerate(self._seed_states())}
        return seeds | {f"metric_{i}": variable for i, variable in enumerate(self.tracker_variables)}

    @property
    def tracker_variables(self) -> list[keras.Variable]:
        """The running means of the epoch's terms."""
        trackers = [*self.trackers.values(), *self._compiled_metrics.values()]
        return [variable for tracker in trackers for variable in tracker.variables]

    def _seed_states(self) -> list[keras.Variable]:
        others = {id(variable) for variable in [*self.weights, *self.setting_variables]}
        return [variable for variable in self.non_trainable_variables if id(variable) not in others]


def _with_weights(x: Any, y: Any, sample_weight: Any) -> Any:
    """Return y; without one the images are their own targets, since Keras drops weights without a y."""
    return x if y is None and sample_weight is not None else y


def _as_list(callbacks: Any) -> list[keras.callbacks.Callback]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
