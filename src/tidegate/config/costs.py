"""What a request costs: one number, by method, from a header, or by a function of the user's own;
and, in units beside requests, an amount that is reserved and settled by the answer.
"""

from typing import Annotated, Any, Final

from pydantic import Discriminator, Field, Tag, model_validator

from tidegate.config import fields as f
from tidegate.config.model import Model
from tidegate.config.values import Wrong

COST_MAX: Final = 10**6
UNITS_MAX: Final = 15
"""Besides requests: what a question to the store has room for."""
FIXED: Final = "fixed cost"
BY_METHOD: Final = "cost by method"
BY_HEADER: Final = "cost from a header"
BY_FUNCTION: Final = "cost by a function"
JSON: Final = "settled by JSON"
FIELD: Final = "settled by a header"

FixedCost = Annotated[int, Field(ge=1, le=COST_MAX)]
Amount = Annotated[int, Field(ge=1, le=10**9)]
"""As much as the largest limit holds."""
MethodCosts = dict[f.MethodOrDefault, Annotated[int, Field(ge=0, le=COST_MAX)]]
"""By method; `default` for those that are not named, 1 if it is not there. 0 is not charged."""


class HeaderCost(Model):
    """What a trusted proxy says in a header; of others, and where it says nothing, the default.
    What is no whole number is refused with 400."""

    header: f.HeaderName
    default: Amount = 1
    max: Amount = 100
    """More than this counts as this."""

    @model_validator(mode="after")
    def _default_is_bounded(self) -> "HeaderCost":
        if self.default > self.max:
            raise Wrong("the default is at most max", fields=("default", "max"))
        return self


class FunctionCost(Model):
    """`def cost(request) -> int` in `path/to/file.py:name` or `module:name`.

    The loader makes a file's path absolute: it is relative to the configuration.
    """

    function: str = Field(min_length=1)
    max: Amount = COST_MAX
    """More than this counts as this."""


def _kind_of_cost(cost: Any) -> str:
    if isinstance(cost, Model):
        return BY_HEADER if isinstance(cost, HeaderCost) else BY_FUNCTION
    if not isinstance(cost, dict):
        return FIXED
    return BY_HEADER if "header" in cost else BY_FUNCTION if "function" in cost else BY_METHOD


Cost = int | MethodCosts | HeaderCost | FunctionCost
_Told = (
    Annotated[MethodCosts, Tag(BY_METHOD), Field(min_length=1)]
    | Annotated[HeaderCost, Tag(BY_HEADER)]
    | Annotated[FunctionCost, Tag(BY_FUNCTION)]
)
CheckedCost = Annotated[
    Annotated[FixedCost, Tag(FIXED)] | _Told,
    Discriminator(_kind_of_cost),
]
CheckedReservation = Annotated[
    Annotated[Amount, Tag(FIXED)] | _Told,
    Discriminator(_kind_of_cost),
]


def as_told(cost: Cost) -> int | dict[str, Any]:
    """Return a cost as a file would say it."""
    return cost.model_dump() if isinstance(cost, Model) else cost


class HeaderSettlement(Model):
    """The answer's header of this name holds what was spent."""

    header: f.HeaderName


class JsonSettlement(Model):
    """The answer's JSON holds what was spent, also in an event of a stream: `usage.total_tokens`,
    or a sum such as `usage.input_tokens + usage.output_tokens`."""

    json_path: f.JsonPath = Field(alias="json")

    @property
    def paths(self) -> tuple[str, ...]:
        """Those whose numbers are added."""
        return tuple(self.json_path.split(" + "))


def _kind_of_settlement(settle: Any) -> str | None:
    if isinstance(settle, Model):
        return FIELD if isinstance(settle, HeaderSettlement) else JSON
    if not isinstance(settle, dict):
        return None
    return FIELD if "header" in settle else JSON if "json" in settle else None


Settlement = HeaderSettlement | JsonSettlement
CheckedSettlement = Annotated[
    Annotated[HeaderSettlement, Tag(FIELD)] | Annotated[JsonSettlement, Tag(JSON)],
    Discriminator(_kind_of_settlement),
]


class UnitCost(Model):
    """What a request costs in a unit beside requests."""

    reserve: CheckedReservation
    """Charged before the request is sent on, at most what the limit holds: a number, or told by
    the request as `cost` is."""
    settle: CheckedSettlement | None = None
    """Where the answer says what it was; the difference is charged or given back."""


COST_TAGS: Final = frozenset((FIXED, BY_METHOD, BY_HEADER, BY_FUNCTION, JSON, FIELD))
