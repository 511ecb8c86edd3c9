"""The configuration of a model: its shape, its steps and its parts."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from zpinch.errors import ModelError, UsageError
from zpinch.model.bottleneck import DEFAULT_QUALITY, QUALITIES
from zpinch.model.critic import CriticConfig
from zpinch.model.encoder import EncoderConfig, MlpEncoderConfig, Shape
from zpinch.model.frozen import Frozen
from zpinch.model.generator import GeneratorConfig, MlpGeneratorConfig
from zpinch.model.prior.factorised import FactorisedPriorConfig

TRAINED = ("encoder", "generator", "critic", "prior")  # parts that steps of training teach, and their configurations

Part = TypeVar("Part")


def needed(part: Part | None, name: str) -> Part:
    """A part of a model, where what is being done makes no sense without it. Raises ModelError."""
    if part is None:
        raise ModelError(f"this model has no {name}: its recipe does without one. Train another with --recipe fusion.")
    return part


def centred(ratios: tuple[float, ...]) -> tuple[float, ...]:
    if len(ratios) not in (1, len(QUALITIES)) or ratios[len(ratios) // 2] != 1 or list(ratios) != sorted(ratios)[::-1]:
        raise ValueError("are 1 or 5 ratios, from coarse to fine, with 1 in the middle")
    return ratios


Ratios = Annotated[tuple[PositiveFloat, ...], AfterValidator(centred), Field(exclude_if=lambda r: r == (1.0,))]


class ModelConfig(Frozen):
    """What a model is, apart from its weights. Each part's own configuration holds what it needs to be rebuilt."""

    image: Shape  # channels, height, width
    code: Shape  # channels, height, width of the latent
    step: PositiveFloat = 0.5
    qualities: Ratios = (1.0,)  # the steps it codes with, in steps; a model from before knows the default's alone
    class_names: tuple[str, ...] = ()
    recipe: str = "fusion"
    realism: Annotated[float, Field(ge=0, le=1)] = 0.0  # the beta that decoding uses unless told otherwise
    encoder: Annotated[EncoderConfig, Field(discriminator="kind")] | None
    generator: Annotated[GeneratorConfig, Field(discriminator="kind")] | None
    critic: Annotated[CriticConfig, Field(discriminator="kind")] | None
    prior: FactorisedPriorConfig | None

    @model_validator(mode="after")
    def fits(self) -> Self:
        encoder, generator = self.encoder, self.generator
        if isinstance(generator, MlpGeneratorConfig) and generator.tied:
            if not isinstance(encoder, MlpEncoderConfig):
                raise ValueError("a generator can be tied to an mlp encoder only")
            if encoder.hidden != generator.hidden[::-1]:
                raise ValueError(
                    f"a tied generator has the encoder's hidden layers in reverse: {generator.hidden} are not those of "
                    f"{encoder.hidden}"
                )
        return self

    @property
    def backbone(self) -> Literal["conv", "mlp"]:
        """Which nets it has. Raises ModelError for what stands in an archive of pixels, which has none."""
        return needed(self.generator, "generator").kind

    @property
    def is_variational(self) -> bool:
        """Whether the encoder gives a posterior, which is taught to be N(0, I)."""
        return self.encoder is not None and self.encoder.is_variational

    @property
    def is_tied(self) -> bool:
        return isinstance(self.generator, MlpGeneratorConfig) and self.generator.tied

    @property
    def labels(self) -> int:
        """Number of classes; as a label index it means "none"."""
        return len(self.class_names)

    @property
    def known_qualities(self) -> tuple[int, ...]:
        return QUALITIES if len(self.qualities) > 1 else (DEFAULT_QUALITY,)

    def ratio(self, quality: int) -> float:
        """The step of a quality, in steps. Raises UsageError where there is none such, ModelError in this model."""
        if quality not in QUALITIES:
            raise UsageError(f"--quality is {QUALITIES[0]}, the smallest archive, to {QUALITIES[-1]}, not {quality}.")
        if quality not in self.known_qualities:
            raise ModelError(
                f"this model knows quality {DEFAULT_QUALITY} alone, not {quality}: it was trained before there were "
                "others. Leave --quality out, or train it again."
            )
        return self.qualities[self.known_qualities.index(quality)]

    def step_of(self, quality: int) -> float:
        return self.step * self.ratio(quality)

    def quality_of(self, step: float) -> int | None:
        """The quality whose step this is."""
        return next((quality for quality in self.known_qualities if self.step_of(quality) == step), None)
