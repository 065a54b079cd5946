"""The base of every JSON contract: unknown keys, NaN and infinity are refused."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """A JSON object whose keys and types are fixed; immutable once read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
