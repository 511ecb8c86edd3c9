"""A model in parts: the tensors of each by name, as they are stored and identified, and a model made of them again."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zpinch.codec.exact_net import exact_net
from zpinch.codec.integer_net import IntegerLayer
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.tables import CodeTables
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.model.calibration import calibration_of
from zpinch.model.completer import Completer, CompleterConfig
from zpinch.model.config import ModelConfig
from zpinch.model.model import Coders, Model
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig

Integer = TypeVar("Integer", np.int32, np.uint32)


def part_tensors(model: Model) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part by name; `prior` is the integer tables, exactly what coding needs."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, module in networks(model).items():
        parts[name] = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    for quality, (tables, autoregressive) in model.coders.items():
        prior = parts[coder_part("prior", quality)] = {
            "weights": torch.from_numpy(tables.weights.astype(np.int64)),
            "first": torch.from_numpy(tables.first.astype(np.int64)),
        }
        if tables.label_weights is not None:
            prior["label_weights"] = torch.from_numpy(tables.label_weights.astype(np.int64))
        if autoregressive is not None:
            arrays = integer_tensors(autoregressive)
            parts[coder_part("autoregressive", quality)] = {k: torch.from_numpy(v) for k, v in arrays.items()}
    if model.calibration is not None:
        parts["calibration"] = model.calibration.tensors()
    if model.exact is not None:
        parts["exact"] = {key: torch.from_numpy(array) for key, array in model.exact.tensors().items()}
    return parts


def networks(model: Model) -> dict[str, nn.Module]:
    """The parts that are networks or samplers, by name: what PyTorch loads."""
    found = {
        "encoder": model.encoder,
        "generator": model.generator,
        "critic": model.critic,
        "density": model.prior,
        "sampler": model.sampler,
        "completer": model.completer,
    }
    return {name: module for name, module in found.items() if module is not None}


def coder_part(kind: str, quality: int) -> str:
    """The part that codes one quality: `prior` or `autoregressive` for the default, `prior-5` for another."""
    return kind if quality == DEFAULT_QUALITY else f"{kind}-{quality}"


class Undrawn(TorchFunctionMode):
    """Weights are made and not drawn: where they take no memory, PyTorch would import its compiler to draw them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        return given["tensor"] if getattr(func, "__module__", "") == "torch.nn.init" else func(*args, **given)


def assemble(
    config: ModelConfig,
    mixture: MixtureSamplerConfig | None,
    completer: CompleterConfig | None,
    parts: Mapping[str, Mapping[str, Tensor]],
) -> Model:
    """The model that `part_tensors` gave the parts of. mixture, completer: their configurations, where it has them.

    Raises ValueError, LookupError, RuntimeError where the parts do not fit.
    """
    if completer is not None and (completer.image, completer.code) != (config.image, config.code):
        raise ValueError(f"its completer is for images of {completer.image} and codes of {completer.code}")

    def empty() -> Model:
        model = Model(config)
        if mixture is not None:
            model.sampler = MixtureSampler(mixture)
        elif "sampler" not in parts:  # the autoregressive prior draws
            model.sampler = None
        if completer is not None:
            model.completer = Completer(completer)
        return model

    # Sizes come from what may be a stranger's file: they must be those of its weights before they take memory.
    with torch.device("meta"), Undrawn():
        check_weights(empty(), parts)
    model = empty()
    for name, module in networks(model).items():
        module.load_state_dict(parts[name])
    for quality in model.config.known_qualities:
        tables, autoregressive = (parts.get(coder_part(kind, quality)) for kind in ("prior", "autoregressive"))
        if tables is not None:
            better = None if autoregressive is None else integer_prior(model.config.code, arrays_of(autoregressive))
            model.coders[quality] = Coders(code_tables(arrays_of(tables)), better)
    if "calibration" in parts:
        model.calibration = calibration_of(model.config.code, model.config.labels, parts["calibration"])
        residual = model.calibration.normals.residual
        if residual.shape[1:] != model.config.image[1:]:
            raise ValueError(f"its calibration is for images of {residual.shape[1:]}")
    if "exact" in parts:
        model.exact = exact_net(arrays_of(parts["exact"]))
        if model.exact.image_shape != model.config.image:
            raise ValueError(f"its exact layer is for images of {model.exact.image_shape}")
    return model


def check_weights(model: Model, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raises ValueError where the tensors are not those of the model."""
    for name, module in networks(model).items():
        wanted = {key: tensor.shape for key, tensor in module.state_dict().items()}
        if wanted != {key: tensor.shape for key, tensor in parts[name].items()}:
            raise ValueError(f"the weights of its {name} are of other sizes")


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {key: tensor.numpy() for key, tensor in tensors.items()}


def code_tables(arrays: Mapping[str, NDArray[Any]]) -> CodeTables:
    shares = arrays.get("label_weights")
    return CodeTables(
        weights=narrowed(arrays["weights"], np.uint32),
        first=narrowed(arrays["first"], np.int32),
        label_weights=None if shares is None else narrowed(shares, np.uint32),
    )


def integer_tensors(prior: IntegerPrior) -> dict[str, NDArray[Any]]:
    """What an autoregressive prior is made of, by name."""
    arrays: dict[str, NDArray[Any]] = {"first": prior.first}
    if prior.label_weights is not None:
        arrays["label_weights"] = prior.label_weights.astype(np.int64)
    for number, layer in enumerate(prior.layers):
        arrays |= {f"{number}.weight": layer.weight, f"{number}.bias": layer.bias, f"{number}.shift": layer.shift}
    return arrays


def integer_prior(code: tuple[int, int, int], arrays: Mapping[str, NDArray[Any]]) -> IntegerPrior:
    layers = [
        IntegerLayer(arrays[f"{n}.weight"], arrays[f"{n}.bias"], arrays[f"{n}.shift"])
        for n in range(sum(key.endswith(".weight") for key in arrays))
    ]
    shares = arrays.get("label_weights")
    return IntegerPrior(code, arrays["first"], None if shares is None else narrowed(shares, np.uint32), tuple(layers))


def narrowed(wide: NDArray[Any], dtype: type[Integer]) -> NDArray[Integer]:
    """Stored as int64, for safetensors: what does not fit was altered in the upper bytes, which no identity covers."""
    narrow = wide.astype(dtype)
    if not np.array_equal(narrow, wide):
        raise ValueError("its tables hold numbers beyond 32 bits")
    return narrow
