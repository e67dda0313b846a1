"""The types of the schema's fields: how each is read from what people write.

Numbers, truths and durations are read from text as well, since references bring text and the
loader leaves it to the field what `8000` or `no` means.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from tidegate.config import limit_values, units, values

RATE_PER_S_MAX: Final = 10**6
FILL_S_MAX: Final = 10 * 366 * 86_400
DURATION_S_MAX: Final = 366 * 86_400
FAILURES_MAX: Final = 10**6
BUCKET: Final = "token bucket"
WINDOW: Final = "sliding window"
QUOTA: Final = "calendar quota"
CONCURRENCY: Final = "concurrency limit"
NO_LIMIT: Final = "no limit"


def _from_text(parse: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _checked_duration_s(value: float) -> float:
    if not 0 <= value <= DURATION_S_MAX:
        raise values.Wrong("a duration is at most 366d")
    return value


def _checked_timeout_s(value: float) -> float:
    if not 0 < value <= DURATION_S_MAX:
        raise values.Wrong("a timeout is more than 0s and at most 366d")
    return value


def _checked_key(value: SecretStr) -> SecretStr:
    values.checked_key(value.get_secret_value())
    return value


def _version(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _rate(value: Any) -> Any:
    return value if isinstance(value, units.Rate) else units.parse_rate(str(value))


def _checked_lease_s(value: float) -> float:
    if not 1 <= value <= 3600:
        raise values.Wrong("a lease is 1s to 1h")
    return value


def _few(value: units.Rate) -> units.Rate:
    if value.count > FAILURES_MAX:
        raise values.Wrong(f"a bound on failures is at most {FAILURES_MAX} in a period, or null")
    return value


def _written(pattern: str, *others: dict[str, Any], examples: list[str]) -> WithJsonSchema:
    """Describe text with a unit, for editors; the parser remains the judge."""
    text = {"type": "string", "pattern": rf"^\s*[0-9]+{pattern}\s*$"}
    return WithJsonSchema({"anyOf": [text, *others], "examples": examples})


_DURATION = _written(r"(\.[0-9]+)?\s*(us|ms|s|m|h|d)", {"const": 0}, examples=["50ms", "10s", "2m"])
_SIZE = _written(
    r"(\.[0-9]+)?\s*(B|KiB|MiB|GiB)?",
    {"type": "integer", "minimum": 0},
    examples=["32KiB", "1GiB"],
)
_RATE = _written(
    r"\s*/\s*(s|m|h|d|mo|(sec|second|min|minute|hour|day|month)s?)",
    examples=["5/s", "30/m", "100/h", "1000/day"],
)

Seconds = Annotated[
    float, _from_text(units.parse_duration_s), AfterValidator(_checked_duration_s), _DURATION
]
Timeout = Annotated[
    float, _from_text(units.parse_duration_s), AfterValidator(_checked_timeout_s), _DURATION
]
Size = Annotated[int, _from_text(units.parse_size), Field(ge=0, le=2**53), _SIZE]
RateValue = Annotated[units.Rate, BeforeValidator(_rate), _RATE]
FailureRate = Annotated[units.Rate, BeforeValidator(_rate), AfterValidator(_few), _RATE]
Lease = Annotated[
    float, _from_text(units.parse_duration_s), AfterValidator(_checked_lease_s), _DURATION
]
Share = Annotated[float, Field(gt=0, le=1)]
Scope = Annotated[
    str,
    AfterValidator(limit_values.checked_scope),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(limit_values.SCOPES)},
                {"type": "string", "pattern": "^header:", "examples": ["header:X-User"]},
            ]
        }
    ),
]
TimeZone = Annotated[str, AfterValidator(limit_values.checked_time_zone)]
HeaderName = Annotated[str, AfterValidator(limit_values.checked_header_name)]
JsonPath = Annotated[str, AfterValidator(limit_values.checked_json_path)]
Unit = Annotated[str, AfterValidator(limit_values.checked_unit)]
MethodOrDefault = Annotated[str, AfterValidator(limit_values.checked_method_or_default)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Version = Annotated[Literal[1], BeforeValidator(_version)]
ListenHost = Annotated[str, AfterValidator(values.checked_listen_host)]
HostPattern = Annotated[str, AfterValidator(values.checked_host_pattern)]
UpstreamHost = Annotated[str, AfterValidator(values.checked_upstream_host)]
Target = Annotated[str, AfterValidator(values.checked_target)]
RedisUrl = Annotated[str, AfterValidator(values.checked_redis_url)]
CacheUrl = Annotated[str, AfterValidator(values.checked_cache_url)]
Path = Annotated[str, AfterValidator(values.checked_path)]
Prefix = Annotated[str, AfterValidator(values.checked_prefix)]
Method = Annotated[str, AfterValidator(values.checked_method)]
Network = Annotated[str, AfterValidator(values.checked_network)]
KeyValue = Annotated[SecretStr, AfterValidator(_checked_key)]
