"""What `--set` makes of a run: one field of its objective, its schedule or its nets, and weights that go together."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from zpinch.errors import UsageError
from zpinch.model.config import TRAINED, ModelConfig
from zpinch.model.frozen import Frozen
from zpinch.training.recipes import RECIPES, Objective, Recipe, Schedule

# Fields that follow from images and recipe, not --set.
GIVEN = {"kind", "image", "code", "labels", "channels", "knows_step", "is_variational"}


def settled(
    config: ModelConfig, objective: Objective, schedule: Schedule, settings: Sequence[str]
) -> tuple[ModelConfig, Objective, Schedule]:
    """What the settings make of the configuration of a model and of what it is trained by."""
    tree: dict[str, Frozen] = {"objective": objective, "schedule": schedule}
    tree |= {part: found for part in TRAINED if (found := getattr(config, part)) is not None}
    for setting in settings:
        apply_setting(tree, setting)
    set_objective, set_schedule = tree.pop("objective"), tree.pop("schedule")
    assert isinstance(set_objective, Objective)
    assert isinstance(set_schedule, Schedule)
    try:
        config = ModelConfig.model_validate(config.model_copy(update=tree).model_dump())
    except ValidationError as error:
        raise UsageError(f"--set: {error.errors()[0]['msg']}.") from error
    return config, set_objective, set_schedule


def apply_setting(tree: dict[str, Frozen], setting: str) -> None:
    """Apply "objective.rate=0.02" to the configurations of `tree`, in place."""
    path, equals, value = setting.partition("=")
    part, _, name = path.strip().partition(".")
    if not equals or part not in tree or name not in type(tree[part]).model_fields or name in GIVEN:
        known = ", ".join(f"{p}.{f}" for p, config in tree.items() for f in type(config).model_fields if f not in GIVEN)
        raise UsageError(f"--set {setting}: there is no such setting. There are {known}.")
    parsed: Any = tuple(filter(None, value.split(","))) if isinstance(getattr(tree[part], name), tuple) else value
    try:
        tree[part] = type(tree[part]).model_validate({**tree[part].model_dump(), name: parsed})
    except ValidationError as error:
        raise UsageError(f"--set {setting}: {error.errors()[0]['msg']}.") from error


TERMS: dict[str, tuple[str, Callable[[Recipe], bool]]] = {
    "distortion": ("reconstructs", lambda recipe: recipe.has_encoder),
    "rate": ("codes with a density of its own", lambda recipe: recipe.has_encoder and not recipe.is_variational),
    "contraction": ("has an encoder", lambda recipe: recipe.has_encoder),
    "divergence": ("has a posterior", lambda recipe: recipe.is_variational),
    "features": ("has a critic and reconstructs", lambda recipe: recipe.has_critic and recipe.has_encoder),
    "adversarial": ("has a critic", lambda recipe: recipe.has_critic),
}


def check_objective(objective: Objective, recipe: Recipe) -> None:
    """Refuse weights on terms that the recipe has no part for, and weights that leave nothing to learn in some step."""
    for term, (claim, can_follow) in TERMS.items():
        if getattr(objective, term) and not can_follow(recipe):
            others = ", ".join(other.name for other in RECIPES.values() if can_follow(other))
            raise UsageError(f"--set objective.{term} needs a recipe that {claim}; '{recipe.name}' does not: {others}.")
    if objective.features and not objective.adversarial:
        raise UsageError("--set objective.features: a critic that never plays sees nothing. Give adversarial a weight.")
    always = objective.distortion or objective.rate or (objective.contraction and objective.contraction_every == 1)
    if not always and not (objective.adversarial and objective.critic_start == 0):
        raise UsageError(
            "--set objective: these weights leave steps with nothing to learn. Give distortion or rate a weight, or "
            "adversarial with critic_start=0."
        )
