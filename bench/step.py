"""Where a training step goes: its convolutions run again alone, and the rest by operation.

    python bench/step.py --data mnist

Every convolution of a step, forward and backward, is recorded as it is called and timed alone, again and again, with
the same shapes, layouts and type. The sum over the time of the whole step is the share that the step reaches of the
convolutions' own rate. Averages are over a period of the lazy terms. Results: bench/results/step.json.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

import zpinch
from record import record, typed
from zpinch.tasks.preparation import build
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.rehearsal import faster_precision

CONVOLUTIONS = {"aten.convolution.default", "aten.convolution_backward.default"}
REPEATS = 7
NAMED = 12  # operations in the table

Call = tuple[Any, ...]


class Recorder(TorchDispatchMode):
    """Counts convolutions by all that their time depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) in CONVOLUTIONS:
            self.calls[(func, *map(described, args))] += 1
        return func(*args, **(kwargs or {}))


def described(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor):
        return ("tensor", tuple(argument.shape), argument.stride(), argument.dtype)
    return tuple(argument) if isinstance(argument, list) else argument


def made(description: Any) -> Any:
    if isinstance(description, tuple) and description[:1] == ("tensor",):
        _, shape, stride, dtype = description
        return torch.empty_strided(shape, stride, dtype=dtype).copy_(torch.randn(shape))
    return list(description) if isinstance(description, tuple) else description


def alone(call: Call) -> float:
    """Seconds of a convolution by itself, the fastest of several."""
    func, *descriptions = call
    arguments = [made(description) for description in descriptions]
    return fastest(lambda: func(*arguments))


def fastest(run: Callable[[], Any]) -> float:
    seconds: list[float] = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Where a training step goes.")
    parser.add_argument("--data", default="digits")
    asked = parser.parse_args()
    images = zpinch.open_images(asked.data, split="train")
    phases: dict[str, dict[str, Any]] = {}
    for name, start in (("before the critic plays", 1.0), ("while it plays", 0.0)):
        model, objective, schedule = build(images, "fusion", "conv", None, (), seed=0, device="cpu")
        precision = faster_precision(model)
        plan = Plan(10**6, objective.model_copy(update={"critic_start": start}), schedule, 0, precision)
        period = max(objective.contraction_every, objective.penalty_every)
        steps = training_steps(Learner(model, plan), images, plan)

        def some(steps: Iterator[Progress] = steps, period: int = period) -> None:
            for _ in range(period):
                next(steps)

        some()  # warms up
        whole = fastest(some) / period
        with Recorder() as recorder:
            some()
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            some()
        convolutions = sum(count * alone(call) for call, count in recorder.calls.items()) / period
        spent: defaultdict[str, float] = defaultdict(float)
        for event in profiled.key_averages():
            spent[event.key] += event.self_cpu_time_total / 1e6 / period
        most = sorted(spent, key=spent.__getitem__, reverse=True)[:NAMED]
        phases[name] = {
            "step_ms": 1e3 * whole,
            "convolutions_alone_ms": 1e3 * convolutions,
            "share": convolutions / whole,
            "convolutions_a_step": sum(recorder.calls.values()) / period,
            "operations_ms": {key: 1e3 * spent[key] for key in most},
        }
        print(name, phases[name], flush=True)
    record("step", typed(asked.data), data=Path(asked.data).name, phases=phases)


if __name__ == "__main__":
    main()
