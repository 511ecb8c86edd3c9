"""A run that can go on: its whole state in `resume/`, as two files of safetensors with JSON in their heads.

`look.safetensors` is the run as it was when it last looked at itself, to which it goes back when the objective runs
away. `since.safetensors` is the same run some steps later, replaced every minute: killed at any moment, a run loses no
more. Each is replaced in one rename. With the plan and the state of a step, the next step is the same to the last bit,
for everything random is a function of (seed, step).
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zpinch.errors import CorruptModel, ModelError, is_out_of_memory
from zpinch.images.writers.atomic import publish_file
from zpinch.model.config import ModelConfig
from zpinch.model.frozen import Frozen
from zpinch.model.model import Model
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig
from zpinch.training.learner import Learner, Plan
from zpinch.training.measure import NO_MEANS, Check, Means
from zpinch.training.processes import ALONE, Processes
from zpinch.training.recipes import Objective, Schedule

RUN = "resume"
LOOK, SINCE = "look.safetensors", "since.safetensors"
HEAD = "run"  # the key of the JSON in a file's head

Tensors = dict[str, Tensor]


class Snapshot(NamedTuple):
    """Everything of a learner that changes, on the processor."""

    step: int
    mixture: MixtureSamplerConfig | None
    tensors: Tensors  # of the live and the averaged model, and of the optimisers

    @staticmethod
    def of(learner: Learner) -> "Snapshot":
        sampler = learner.live.sampler
        # The sampler of the averaged model is the live one's.
        tensors = {f"live.{k}": v for k, v in learner.live.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in learner.average.state_dict().items() if not k.startswith("sampler.")}
        for name, optimiser in learner.optimisers():
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{k}": v for k, v in state.items()}
        return Snapshot(
            learner.step,
            sampler.config if isinstance(sampler, MixtureSampler) else None,
            {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()},
        )

    def put_back(self, learner: Learner) -> None:
        """Make a learner what it was."""
        if self.mixture:
            learner.live.sampler = MixtureSampler(self.mixture)
        elif isinstance(learner.live.sampler, MixtureSampler):
            learner.live.sampler = None
        learner.step = self.step
        learner.live.load_state_dict(_part(self.tensors, "live"))
        learner.average.load_state_dict(_part(self.tensors, "average"), strict=False)
        for name, optimiser in learner.optimisers():
            state: dict[int, Tensors] = {}
            for key, tensor in _part(self.tensors, name).items():
                index, _, entry = key.partition(".")
                # A copy, for optimisers write into what they are given; moments lie in memory as the weights do, as
                # fused Adam walks both as flat arrays.
                layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
                state.setdefault(int(index), {})[entry] = tensor.clone(memory_format=layout)
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


class Past(NamedTuple):
    """What a run has behind it, besides its learner."""

    good: Snapshot  # the last look's, to which it goes back
    history: tuple[Check, ...] = ()
    alarms: tuple[str, ...] = ()  # what was said so far
    best: Tensors | None = None  # state of the averaged model
    kept_step: int = 0  # at which it was that
    seconds: float = 0.0
    means: Means = NO_MEANS  # of the terms since the last look

    def warned(self, step: int, said: Sequence[str]) -> "Past":
        """With what was said at a step."""
        return self._replace(alarms=(*self.alarms, *(f"step {step:,}: {sentence}" for sentence in said)))


class StoredLook(Frozen):
    """The head of look.safetensors; every field of the plan by its name."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    model: ModelConfig
    steps: int
    seed: int
    precision: str
    may_stop_early: bool = False
    origin: str = ""
    objective: Objective
    schedule: Schedule
    fingerprint: str  # of the training images
    step: int
    caution: float
    seconds: float
    mixture: MixtureSamplerConfig | None
    history: list[dict[str, Any]]
    alarms: list[str]
    has_best: bool
    kept_step: int = 0

    def plan(self) -> Plan:
        return Plan(**{name: getattr(self, name) for name in Plan._fields})


class StoredSince(Frozen):
    """The head of since.safetensors. It belongs to the look of this step and caution, and is stale beside another."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    look_step: int
    caution: float
    step: int
    seconds: float
    mixture: MixtureSamplerConfig | None
    totals: dict[str, float]
    counts: dict[str, int]


def save_look(folder: Path, learner: Learner, plan: Plan, past: Past, *, fingerprint: str = "") -> None:
    """Write folder/resume/look.safetensors, whole or not at all; the one before stands until it is. Raises OSError."""
    head = StoredLook(
        **plan._asdict(),
        model=learner.live.config,
        fingerprint=fingerprint,
        step=past.good.step,
        caution=learner.caution,
        seconds=past.seconds,
        mixture=past.good.mixture,
        history=[check._asdict() for check in past.history],
        alarms=list(past.alarms),
        has_best=past.best is not None,
        kept_step=past.kept_step,
    )
    kept = {f"best.{k}": v.detach().cpu().contiguous() for k, v in (past.best or {}).items()}
    if not past.history:  # a run begins: what another left here is not its own
        (folder / RUN / SINCE).unlink(missing_ok=True)
    _publish(folder / RUN / LOOK, past.good.tensors | kept, head)
    (folder / RUN / SINCE).unlink(missing_ok=True)


def save_since(folder: Path, learner: Learner, *, look_step: int, means: Means, seconds: float) -> None:
    """Write folder/resume/since.safetensors, likewise."""
    now = Snapshot.of(learner)
    head = StoredSince(
        look_step=look_step,
        caution=learner.caution,
        step=now.step,
        seconds=seconds,
        mixture=now.mixture,
        totals={name: float(total) for name, total in means.totals.items()},
        counts=means.counts,
    )
    _publish(folder / RUN / SINCE, now.tensors, head)


def load_run(
    folder: Path, *, device: torch.device | None = None, processes: Processes = ALONE
) -> tuple[StoredLook, Learner, Past]:
    """The run in folder/resume as it was last saved. Raises ModelError where none is, CorruptModel when damaged."""
    place = folder / RUN
    if not (place / LOOK).is_file():
        raise ModelError(
            f"{folder} has no run to resume: it finished, or never began. Leave out --resume to begin one."
        )
    try:
        look, tensors = _read(place / LOOK, StoredLook)
        good = Snapshot(
            look.step, look.mixture, {key: tensor for key, tensor in tensors.items() if not key.startswith("best.")}
        )
        newest, seconds, means = good, look.seconds, NO_MEANS
        if (place / SINCE).is_file():
            since, later = _read(place / SINCE, StoredSince)
            if (since.look_step, since.caution) == (look.step, look.caution):
                newest, seconds = Snapshot(since.step, since.mixture, later), since.seconds
                means = Means.of(since.totals, since.counts)
        learner = Learner(Model(look.model).to(device or "cpu"), look.plan(), processes)
        learner.caution = look.caution
        newest.put_back(learner)
        history = tuple(Check(**row) for row in look.history)
    except (OSError, SafetensorError, ValidationError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise CorruptModel(f"{place} is damaged: {error}. Train again without --resume.") from error
    best = _part(tensors, "best") if look.has_best else None
    return look, learner, Past(good, history, tuple(look.alarms), best, look.kept_step, seconds, means)


def drop_run(folder: Path) -> None:
    """Remove what a run left. What lies beside it there is somebody's, and stays."""
    with contextlib.suppress(OSError):  # no run, or a full folder
        for path in (folder / RUN / LOOK, folder / RUN / SINCE):
            path.unlink(missing_ok=True)
            _partial(path).unlink(missing_ok=True)
        (folder / RUN).rmdir()


def strangers(folder: Path) -> list[str]:
    """What lies in folder/resume and is no part of a run, sorted."""
    own = {path.name for name in (LOOK, SINCE) for path in (Path(name), _partial(Path(name)))}
    place = folder / RUN
    return sorted(path.name for path in place.iterdir() if path.name not in own) if place.is_dir() else []


Head = TypeVar("Head", StoredLook, StoredSince)


def _publish(path: Path, tensors: Tensors, head: Frozen) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        save_file(tensors, partial, {HEAD: head.model_dump_json()})
        publish_file(partial, path, force=True)
    except (OSError, SafetensorError) as error:  # a full disk, said by safetensors in its own way
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise error if isinstance(error, OSError) else OSError(str(error)) from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")  # one name: what a kill leaves, the next write replaces


def _read(path: Path, kind: type[Head]) -> tuple[Head, Tensors]:
    with safe_open(path, framework="pt") as file:
        head = kind.model_validate_json((file.metadata() or {})[HEAD])
        return head, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _part(flat: Tensors, name: str) -> Tensors:
    return {key[len(name) + 1 :]: tensor for key, tensor in flat.items() if key.startswith(f"{name}.")}
