"""Run by two processes at once, and by one: gradients and weights go to a file, for test_processes.py to compare."""

import sys
from pathlib import Path

import torch
from model_cases import blobs
from run_cases import learner_of, plan_of
from safetensors.torch import save_file

from zpinch.training.learner import Learner
from zpinch.training.loop import training_steps
from zpinch.training.processes import processes_here

STEPS = 3
CASES = [("fusion", "mlp"), ("fusion", "conv"), ("gan", "mlp")]


def main(out: Path) -> None:
    processes = processes_here("cpu")
    assert processes.tell(f"hello {processes.index}") == "hello 0"
    images, found = blobs(80, classes=2), dict[str, torch.Tensor]()
    for recipe, backbone in CASES:
        # Contraction and both penalties in every step, images moved, and disturbed for the critic.
        plan = plan_of(recipe, steps=10, critic_start=0.0, penalty_every=1, contraction_every=1, disturbed=True)
        plan = plan._replace(schedule=plan.schedule.model_copy(update={"shift": 0.2, "batch": 64}))
        start = learner_of(recipe, backbone, plan, images)
        learner = Learner(start.live, plan, processes)
        begun = [weight.detach().clone() for weight in learner.live.parameters()]
        for progress in training_steps(learner, images, plan):
            where = f"{recipe} {backbone} step {progress.step}"
            for name, weight in learner.live.named_parameters():
                found[f"{where} weight {name}"] = weight.detach().contiguous().clone()
                if weight.grad is not None:
                    found[f"{where} gradient of {name}"] = weight.grad.contiguous().clone()
            if progress.step == STEPS:
                break
            # Adam without momentum takes the sign of what is nearly 0: weights soon differ. Each batch meets the same.
            with torch.no_grad():
                for weight, first in zip(learner.live.parameters(), begun, strict=True):
                    weight.copy_(first)
    save_file(found, out / f"{processes.count}-{processes.index}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
