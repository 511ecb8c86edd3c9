"""The kind of data a configuration is: frozen, complete, and refusing what it does not know."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable after construction; an unknown field is an error, not a typo that trains for an hour."""

    model_config = ConfigDict(frozen=True, extra="forbid")
