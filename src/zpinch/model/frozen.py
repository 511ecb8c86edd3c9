"""The kind of data a configuration is: frozen, complete, and refusing what it does not know."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Immutable after construction; an unknown field is an error, not a typo that trains for an hour."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# Sizes are bounded, since a configuration may come from a stranger's file and layers are made before weights are read.
Width = Annotated[int, Field(gt=0, le=8192)]  # channels or units of a layer
Depth = Annotated[int, Field(gt=0, le=64)]  # residual blocks in a stack
Labels = Annotated[int, Field(ge=0, le=65536)]  # classes

# Left out where it is false: a model from before there was a choice keeps its identity.
Flag = Annotated[bool, Field(exclude_if=lambda is_so: not is_so)]
