"""The state of a run: the live model, its averaged copy, the optimisers, the steps taken. Policy is the plan's."""

from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor

from zpinch.images import ImageCollection
from zpinch.model.bottleneck import dequantise
from zpinch.model.config import needed
from zpinch.model.encoder import ConvEncoder
from zpinch.model.model import Model
from zpinch.model.prior.sampler import GaussianSampler
from zpinch.training.fit_mixture import fit_mixture
from zpinch.training.muon import Muon
from zpinch.training.processes import ALONE, Processes
from zpinch.training.recipes import Objective, Schedule

SAMPLER_IMAGES = 6_000  # codes that the sampler of the running game is fitted to


class Plan(NamedTuple):
    """Everything a run is a function of, besides the images and the model's configuration."""

    steps: int
    objective: Objective
    schedule: Schedule
    seed: int = 0
    precision: str = "float32"  # or "bfloat16", where this processor is faster with it
    may_stop_early: bool = False  # when held-out quality no longer improves
    origin: str = ""  # for people: the model whose weights it began with, by identity

    def critic_plays(self, step: int) -> bool:
        """Reconstruction finds its feet before the critic is asked."""
        return self.objective.adversarial > 0 and step >= int(self.objective.critic_start * self.steps)


class Learner:
    """The live model and its averaged copy, the optimisers, and how many steps they have taken."""

    def __init__(self, model: Model, plan: Plan, processes: Processes = ALONE) -> None:
        self.live = model
        self.processes = processes
        self.average = deepcopy(model).requires_grad_(False)
        self.step = 0
        self.caution = 1.0  # what rates are scaled by: halved each time the objective runs away
        self._live_parameters, self._average_parameters = list(model.parameters()), list(self.average.parameters())
        fused = model.device.type in {"cpu", "cuda"}
        schedule = plan.schedule
        parts = (model.encoder, model.generator)
        weights = list(dict.fromkeys(p for part in parts if part for p in part.parameters()))  # tied ones once
        # Matrices by Muon: less error than by Adam after equal steps (bench/ablation.py). Not in the dense nets of the
        # papers, where it would be most of a step, nor in a game alone: see below.
        has_muon = isinstance(model.encoder, ConvEncoder) and schedule.muon_rate > 0
        matrices = [p for p in weights if p.ndim > 1 and has_muon]
        others = [p for p in weights if p.ndim == 1 or not has_muon]
        groups = [{"params": others, "peak": schedule.learning_rate}]
        if model.prior:
            groups.append({"params": list(model.prior.parameters()), "peak": schedule.prior_rate})
        # beta1 = 0 in a game (R3GAN): momentum would follow where the opponent was. Reconstruction wants momentum.
        self.optimiser = torch.optim.Adam(
            groups, lr=schedule.learning_rate, betas=(0.9 if model.encoder else 0.0, 0.99), fused=fused
        )
        self.matrix_optimiser = None
        if matrices:
            self.matrix_optimiser = Muon([{"params": matrices, "peak": schedule.muon_rate}], lr=schedule.muon_rate)
        self.critic_optimiser = None
        if model.critic:
            group = {"params": list(model.critic.parameters()), "peak": schedule.critic_rate}
            self.critic_optimiser = torch.optim.Adam([group], lr=schedule.critic_rate, betas=(0.0, 0.99), fused=fused)

    def set_rates(self, plan: Plan) -> None:
        """Warm up, hold, and fall linearly to zero over the second half: a function of the step and the caution."""
        rise = (self.step + 1) / plan.schedule.warm_up
        fall = 2 * (1 - self.step / plan.steps)
        for _, optimiser in self.optimisers():
            for group in optimiser.param_groups:
                group["lr"] = self.caution * group["peak"] * max(min(1.0, rise, fall), 0.01)

    def optimisers(self) -> Iterator[tuple[str, torch.optim.Optimizer]]:
        yield "optimiser", self.optimiser
        if self.matrix_optimiser:
            yield "matrix-optimiser", self.matrix_optimiser
        if self.critic_optimiser:
            yield "critic-optimiser", self.critic_optimiser

    def descend(self, loss: Tensor) -> None:
        optimisers = [o for o in (self.optimiser, self.matrix_optimiser) if o]
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._average_gradients(*optimisers)
        for optimiser in optimisers:
            optimiser.step()

    def descend_critic(self, loss: Tensor) -> None:
        optimiser = needed(self.critic_optimiser, "critic")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._average_gradients(optimiser)
        optimiser.step()

    def _average_gradients(self, *optimisers: torch.optim.Optimizer) -> None:
        weights = (p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"])
        self.processes.average(p.grad for p in weights if p.grad is not None)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        # Private, but what PyTorch's own optimisers call: one kernel for all parameters.
        torch._foreach_lerp_(self._average_parameters, self._live_parameters, 1 - decay)  # pyright: ignore

    def keep_sampler_fresh(self, images: ImageCollection, plan: Plan) -> None:
        """Every few hundred steps, fit what the critic is shown samples of to the codes of today."""
        sampler = self.live.sampler
        if isinstance(sampler, GaussianSampler) or (sampler and self.step % plan.objective.sampler_every):
            return
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.step))
        chosen = order[:SAMPLER_IMAGES].numpy()
        latent = dequantise(torch.from_numpy(self.live.encode(images.pixels[chosen])), self.live.config.step).numpy()
        label = None if images.labels is None else images.labels[chosen]
        self.live.sampler = fit_mixture(latent, label, labels=self.live.config.labels, candidates=(2,), seed=self.step)
        self.processes.follow(self.live.sampler.buffers())
