"""How long the exact contraction takes, beside torch.func's vmap(jacrev): same net, images and gradients, one process.

    python bench/contraction.py
    python bench/contraction.py --batches 64 256 1024 --repeats 101

The net is the 784-128-64-32 encoder of the classic papers, sigmoid units, in float32. Timed is what a training step
needs: the penalty and its gradients with respect to every weight and bias. The sides take turns every few calls, so
that a busy moment slows both; medians count. Before anything is timed, the gradients must agree to 1e-4 of their norm.
The table and bench/results/contraction.json hold milliseconds at each batch size and how many times faster ours is.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from record import record, typed
from zpinch.losses import contraction_exact
from zpinch.model.encoder import MlpEncoder, MlpEncoderConfig

RUN = 10  # calls of one side before it is the other's turn
AGREE = 1e-4  # of the gradients' norm, in float32

Penalty = Callable[[MlpEncoder, Tensor], Tensor]


# --- The sides ----------------------------------------------------------------------------------------------------


def ours(encoder: MlpEncoder, x: Tensor) -> Tensor:
    weights, biases = [layer.weight for layer in encoder.layers], [layer.bias for layer in encoder.layers]
    return contraction_exact(weights, biases, [*[encoder.activation] * (len(weights) - 1), None], x)


def vmap_jacrev(encoder: MlpEncoder, x: Tensor) -> Tensor:
    """||dz/dx||_F^2 as anyone would write it: the whole Jacobian of each image, squared and summed."""
    rows = torch.func.vmap(torch.func.jacrev(lambda image: encoder(image[None]).flatten()))(x)
    return rows.square().sum((1, 2)).mean()


SIDES: dict[str, Penalty] = {"zpinch": ours, "vmap(jacrev)": vmap_jacrev}


def penalty_and_gradients(penalty: Penalty, encoder: MlpEncoder, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The last bias moves z and not its Jacobian: it has no gradient on either side, and is left out."""
    value = penalty(encoder, x)
    *parameters, _last_bias = encoder.parameters()
    return value, list(torch.autograd.grad(value, parameters))


# --- Both sides ---------------------------------------------------------------------------------------------------


def relative_difference(encoder: MlpEncoder, x: Tensor) -> float:
    """||g - g'|| / ||g'|| over all gradients together, g' being vmap(jacrev)'s."""
    (value, mine), (reference, theirs) = (penalty_and_gradients(side, encoder, x) for side in SIDES.values())
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (mine, theirs))
    return max(float((a - b).norm() / b.norm()), float((value - reference).detach().abs() / reference.detach()))


def measure(encoder: MlpEncoder, x: Tensor, repeats: int) -> dict[str, list[float]]:
    """Seconds of every repeat. The sides take turns by runs of RUN calls, as training makes them: one after the other.

    The first call of each run is left out: it finds the caches and the allocator as the other side left them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    while any(len(kept) < repeats for kept in seconds.values()):
        for name, side in SIDES.items():
            for call in range(1 + RUN):
                started = time.perf_counter()
                penalty_and_gradients(side, encoder, x)
                if call:
                    seconds[name].append(time.perf_counter() - started)
    return seconds


def compare(asked: argparse.Namespace) -> None:
    from zpinch import open_images

    torch.manual_seed(0)
    encoder = MlpEncoder(MlpEncoderConfig(image=(1, 28, 28), code=(32, 1, 1), hidden=(128, 64), activation="sigmoid"))
    pixels = torch.from_numpy(open_images(asked.data).pixels[: max(asked.batches)]).flatten(1).float() / 255
    rows: list[dict[str, int | float | str]] = []
    print("| batch | method | milliseconds | ratio | relative difference |\n|---|---|---:|---:|---:|")
    for batch in asked.batches:
        x = pixels[:batch]
        difference = relative_difference(encoder, x)
        if difference >= AGREE:
            sys.exit(f"at batch {batch} the gradients differ by {difference:.1e} of their norm, {AGREE:g} is the bound")
        seconds = measure(encoder, x, asked.repeats)
        medians = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
        for name, milliseconds in medians.items():
            ratio = medians["vmap(jacrev)"] / milliseconds  # times faster than vmap(jacrev)
            print(f"| {batch} | {name} | {milliseconds:.2f} | {ratio:.1f} | {difference:.0e} |", flush=True)
            rows.append({
                "batch": batch, "method": name, "milliseconds": milliseconds, "ratio": ratio,
                "relative difference": difference,
            })  # fmt: skip
    path = record(
        "contraction",
        typed(asked.data),
        net="784-128-64-32, sigmoid, float32; the penalty and its gradients to all weights and biases",
        data=Path(asked.data).name,
        repeats=asked.repeats,
        load_at_the_end=round(os.getloadavg()[0], 2),
        rows=rows,
    )
    print(f"\n{path} holds it, with the machine and the versions.", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="whatever zpinch opens as 28x28 grey images")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeats", type=int, default=200)
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
