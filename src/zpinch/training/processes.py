"""Several processes that train one model, through Accelerate: each takes its share of every batch.

Modules stay unwrapped and gradients are averaged here, after each backward pass: a step goes several times through the
same weights and differentiates twice, which wrappers do not expect. What is random is drawn by all for the whole batch,
so that several processes compute what one computes.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zpinch.errors import UsageError, require_extra

if TYPE_CHECKING:
    from accelerate import Accelerator

LONGEST = 2**20  # bytes that one process tells the others


@dataclass(frozen=True)
class Processes:
    """Those that train together, as one of them sees it."""

    accelerator: "Accelerator | None" = None  # None: alone

    @property
    def count(self) -> int:
        return self.accelerator.num_processes if self.accelerator else 1

    @property
    def index(self) -> int:
        return self.accelerator.process_index if self.accelerator else 0

    @property
    def is_first(self) -> bool:
        """Whether it measures, writes and speaks for all."""
        return self.index == 0

    @property
    def device(self) -> torch.device | None:
        """Where this one computes, if it was not alone to choose."""
        return self.accelerator.device if self.accelerator else None

    def share(self, whole: Tensor) -> Tensor:
        """(n, ...) of a batch -> (n / count, ...), what belongs to this process: pairs of neighbours in turn.

        In pairs, so that halves of a batch are shared out as the whole is, and so is every other image of it.
        """
        return whole if self.count == 1 else whole.unflatten(0, (-1, self.count, 2))[:, self.index].flatten(0, 1)

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that cannot be shared out evenly, halves of it included. Raises UsageError."""
        if self.count > 1 and batch % (4 * self.count):
            raise UsageError(
                f"{self.count} processes share batches of {batch} images; that must be a multiple of {4 * self.count}. "
                f"Pass --set schedule.batch={max(1, round(batch / 4 / self.count)) * 4 * self.count}, and have no "
                "fewer images."
            )

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.accelerator is None or self.count == 1:
            return
        found, device = list(tensors), self.accelerator.device
        flat = torch.cat([t.flatten().to(device) for t in found])  # means of a run that goes on begin on the processor
        means: Tensor = self.accelerator.reduce(flat, "mean")  # pyright: ignore
        for tensor, mean in zip(found, means.split([t.numel() for t in found]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by the first process's."""
        if self.accelerator is None or self.count == 1:
            return
        from accelerate.utils import broadcast

        for tensor in tensors:
            tensor.copy_(broadcast(tensor.to(self.accelerator.device)))  # pyright: ignore

    def tell(self, text: str) -> str:
        """What the first process says, on every process."""
        if self.count == 1:
            return text
        said = torch.zeros(LONGEST, dtype=torch.uint8)
        if self.is_first:
            encoded = bytearray(text.encode())
            said[: len(encoded)] = torch.frombuffer(encoded, dtype=torch.uint8)
        self.follow([said])
        return bytes(said.numpy()).rstrip(b"\0").decode()

    def wait(self) -> None:
        """Go on when all are here."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()


ALONE = Processes()


def processes_here(device: str) -> Processes:
    """This process and those that `accelerate launch` or `torchrun` started with it. Raises MissingExtra."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started < 2:
        return ALONE
    accelerate = require_extra("accelerate", "accelerate")
    processes = Processes(accelerate.Accelerator(cpu=device == "cpu" or not torch.cuda.is_available()))
    if processes.count != started:
        raise UsageError(f"{started} processes were started and {processes.count} met. Pass --device cpu or cuda.")
    return processes


class Noise(NamedTuple):
    """What is random in a step, a row for each image of this process: drawn for the whole batch, and shared out."""

    rng: torch.Generator
    label: Tensor  # (batch,), of the whole batch
    processes: Processes = ALONE

    def uniform(self, count: int, *shape: int) -> Tensor:
        """(count, *shape), U(0, 1)."""
        return self.processes.share(torch.rand((count * self.processes.count, *shape), generator=self.rng))

    def normal(self, count: int, *shape: int) -> Tensor:
        """(count, *shape), N(0, 1)."""
        return self.processes.share(torch.randn((count * self.processes.count, *shape), generator=self.rng))

    def integers(self, below: int, count: int) -> Tensor:
        """(count,), each of 0 to below - 1 as likely."""
        return self.processes.share(torch.randint(below, (count * self.processes.count,), generator=self.rng))

    def latents(self, draw: Callable[[Tensor, torch.Generator], Tensor], count: int) -> Tensor:
        """(count, *code), draws of the prior with the labels of the last images of this process; draw: the model's."""
        return self.processes.share(draw(self.label[-count * self.processes.count :], self.rng))
