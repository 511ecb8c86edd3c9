"""A run that can go on: the learner's whole state in `resume/`, as safetensors and JSON, replaced in one rename.

Frameworks' own state files are pickles; these are tensors by name. With the plan and the state of a step, the next step
is the same to the last bit, for everything random is a function of (seed, step).
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zpinch.errors import CorruptModel, ModelError
from zpinch.model.frozen import Frozen
from zpinch.model.model import Model, ModelConfig
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig
from zpinch.training.learner import Learner, Plan
from zpinch.training.measure import Check
from zpinch.training.recipes import Objective, Schedule

STATE, TENSORS = "state.json", "state.safetensors"
RUN, PARTIAL, OLD = "resume", ".resume.partial", ".resume.old"


class StoredRun(Frozen):
    """resume/state.json"""

    model: ModelConfig
    steps: int
    seed: int
    precision: str
    may_stop_early: bool = False
    objective: Objective
    schedule: Schedule
    step: int
    seconds: float
    fingerprint: str  # of the training images
    mixture: MixtureSamplerConfig | None
    history: list[dict[str, Any]]
    has_best: bool

    def plan(self) -> Plan:
        return Plan(self.steps, self.objective, self.schedule, self.seed, self.precision, self.may_stop_early)

    def checks(self) -> list[Check]:
        return [Check(**row) for row in self.history]


def save_run(
    folder: Path,
    learner: Learner,
    plan: Plan,
    *,
    history: Sequence[Check],
    best: dict[str, Tensor] | None,
    seconds: float,
    fingerprint: str,
) -> None:
    """Write folder/resume, whole or not at all; the run before it stands until this one is complete. Raises OSError."""
    mixture = learner.live.sampler if isinstance(learner.live.sampler, MixtureSampler) else None
    stored = StoredRun(
        model=learner.live.config,
        steps=plan.steps,
        seed=plan.seed,
        precision=plan.precision,
        may_stop_early=plan.may_stop_early,
        objective=plan.objective,
        schedule=plan.schedule,
        step=learner.step,
        seconds=seconds,
        fingerprint=fingerprint,
        mixture=mixture.config if mixture else None,
        history=[check._asdict() for check in history],
        has_best=best is not None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    partial, final, old = folder / PARTIAL, folder / RUN, folder / OLD
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        save_file(_tensors(learner, best), partial / TENSORS)
        (partial / STATE).write_text(stored.model_dump_json(), encoding="utf-8")
        for name in (TENSORS, STATE):
            with (partial / name).open("rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:  # a full disk, said by safetensors in its own way
        shutil.rmtree(partial, ignore_errors=True)
        raise error if isinstance(error, OSError) else OSError(str(error)) from error
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def load_run(folder: Path) -> tuple[StoredRun, Learner, dict[str, Tensor] | None]:
    """The run in folder/resume as it was saved. Raises ModelError when there is none, CorruptModel when damaged."""
    place = next((p for p in (folder / RUN, folder / OLD) if p.is_dir()), None)
    if place is None:
        raise ModelError(
            f"{folder} has no run to resume: it finished, or never began. Leave out --resume to begin one."
        )
    try:
        stored = StoredRun.model_validate_json((place / STATE).read_bytes())
        flat = load_file(place / TENSORS)
        model = Model(stored.model)
        if stored.mixture:
            model.sampler = MixtureSampler(stored.mixture)
        model.load_state_dict(_part(flat, "live"))
        learner = Learner(model, stored.plan())
        learner.step = stored.step
        learner.average.load_state_dict(_part(flat, "average"), strict=False)
        for name, optimiser in learner.optimisers():
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _part(flat, name).items():
                index, _, entry = key.partition(".")
                # Moments lie in memory as the weights do: fused Adam walks both as flat arrays.
                is_convolution = tensor.dim() == 4
                state.setdefault(int(index), {})[entry] = (
                    tensor.contiguous(memory_format=torch.channels_last) if is_convolution else tensor
                )
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    except (OSError, SafetensorError, ValidationError, RuntimeError, KeyError, ValueError) as error:
        raise CorruptModel(f"{place} is damaged: {error}. Train again without --resume.") from error
    return stored, learner, _part(flat, "best") if stored.has_best else None


def drop_run(folder: Path) -> None:
    for name in (RUN, PARTIAL, OLD):
        shutil.rmtree(folder / name, ignore_errors=True)


def _tensors(learner: Learner, best: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Everything of a learner that is a tensor. The sampler of the averaged model is the live one's."""
    tensors = {f"live.{k}": v for k, v in learner.live.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in learner.average.state_dict().items() if not k.startswith("sampler.")}
    tensors |= {f"best.{k}": v for k, v in (best or {}).items() if not k.startswith("sampler.")}
    for name, optimiser in learner.optimisers():
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{k}": v for k, v in state.items()}
    return {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}


def _part(flat: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: tensor for key, tensor in flat.items() if key.startswith(f"{name}.")}
