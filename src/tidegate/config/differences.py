"""What changed between two configurations, in words for whoever reads a log or a terminal.

Walks the checked models by their fields, so that a new setting is told of without a line here.
Entries of a list are matched by their names; an entry that only moved is told of as order. Never
says what may be secret: keys, the settings of a user's own policy, passwords within URLs, what
references bring (they are told as they are written; a name alone is told as it is in force, since
logs and metrics tell it too).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic import SecretStr

from tidegate.config.limits import NoLimit
from tidegate.config.model import Model
from tidegate.config.redaction import redacted_url
from tidegate.config.schema import Config
from tidegate.config.units import Rate

SHOWN_MAX: Final = 5
"""Entries of a list that are spelt out."""
_ORDERED: Final = frozenset(("services", "routes", "policies"))
"""Lists whose order means something: of two that fit alike, or run alike, the first is first."""
_SINGULAR: Final = {"policies": "policy"}
_SHARES: Final = frozenset(("sample", "warn_at", "notify"))
_BY_METHOD: Final = "cost"
_SIZES: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def differences(old: Config, new: Config) -> list[str]:
    """Return one line for each difference, in the order of the schema; none if there is none."""
    return list(_of_models("", old, new))


def _of_models(place: str, old: Model, new: Model) -> Iterator[str]:
    """`place` ends in what separates it from a field's name."""
    written = old.model_fields_set | new.model_fields_set
    for name in type(old).model_fields:
        if name in written and getattr(old, name) != getattr(new, name):
            yield from _of_values(place, name, old.as_written(name), new.as_written(name))


def _of_values(place: str, name: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:  # as they are written
        yield f"{place}{name} {_shown(name, new)} (its value changed)"
    elif isinstance(old, Model) and type(old) is type(new):
        yield from _of_models(f"{place}{name}.", old, new)
    elif isinstance(old, Model) or isinstance(new, Model):
        if old is None or new is None:
            yield f"{place}{name} {_added(new)}"
        else:
            yield f"{place}{name} {_shown(name, old)} → {_shown(name, new)}"
    elif isinstance(old, dict) and any(
        isinstance(entry, Model) for entry in (*old.values(), *new.values())
    ):
        yield from _of_entries(place, name, old, new)
    elif (
        isinstance(old, dict) and name != _BY_METHOD
    ):  # only whoever wrote it knows what of it is secret
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        yield f"{place}{name} changed ({_listed(changed)})"
    elif any(isinstance(entry, Model) for entry in (*_entries(old), *_entries(new))):
        if old is None or new is None:  # a list that is left out differs from an empty one
            named = f"added: {_listed([*_by_name(new)])}" if old is None else "removed"
            yield f"{place}{name} {named}"
        else:
            yield from _of_entries(place, name, _by_name(old), _by_name(new), is_list=True)
    elif isinstance(old, tuple) and len(old) + len(new) > 2 * SHOWN_MAX:
        yield f"{place}{name}: {_change_of_long_list(name, old, new)}"
    else:
        yield f"{place}{name} {_change(name, old, new)}"


def _of_entries(
    place: str, name: str, old: dict[str, Any], new: dict[str, Any], *, is_list: bool = False
) -> Iterator[str]:
    kind = _SINGULAR.get(name, name.removesuffix("s"))
    outer = f"{place.removesuffix(': ')}, " if place else ""
    for key in [*old, *(key for key in new if key not in old)]:
        entry = f"{outer}{kind} {key}"
        before, after = old.get(key), new.get(key)
        if before is None or after is None:
            yield f"{entry} {_added(after)}"
        elif type(before) is not type(after):
            yield f"{entry}: {_described(before)} → {_described(after)}"
        else:
            yield from _of_models(f"{entry}: ", before, after)
    kept = [key for key in new if key in old]
    if name in _ORDERED and is_list and kept != [key for key in old if key in new]:
        yield f"{outer}{name} in another order: {_listed(kept)}"


def _entries(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else ()


def _by_name(entries: Iterable[Model]) -> dict[str, Model]:
    """Key each entry by its first field, which is its name; a twin (`use` may repeat) by number."""
    named: dict[str, Model] = {}
    for entry in entries:
        name = str(getattr(entry, next(iter(type(entry).model_fields))))
        count = 1
        key = name
        while key in named:
            count += 1
            key = f"{name} #{count}"
        named[key] = entry
    return named


def _added(entry: Model | None) -> str:
    if entry is None:
        return "removed"
    described = _described(entry)
    return f"added: {described}" if described else "added"


def _described(entry: Model) -> str:
    """The settings of an entry that were written and can be said in a word."""
    if isinstance(entry, NoLimit):
        return f"{entry.field} null"
    return _settings(entry, next(iter(type(entry).model_fields)))


def _settings(entry: Model, but: str = "") -> str:
    words = []
    for name in type(entry).model_fields:
        value = entry.as_written(name)
        is_nested = isinstance(value, Model | SecretStr | dict) or any(
            isinstance(item, Model) for item in _entries(value)
        )
        if name in entry.model_fields_set and not is_nested and name != but:
            words.append(f"{name} {_shown(name, value)}")
    return ", ".join(words)


def _change(name: str, old: Any, new: Any) -> str:
    if isinstance(old, SecretStr) or isinstance(new, SecretStr):
        return "changed (it is not shown)"
    before, after = _shown(name, old), _shown(name, new)
    if before == after:
        return f"changed where it is not shown ({after})"
    return f"{before} → {after}"


def _change_of_long_list(name: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> str:
    added = [_shown(name, entry) for entry in new if entry not in old]
    removed = [_shown(name, entry) for entry in old if entry not in new]
    parts = [
        f"{word} {_listed(entries)}"
        for word, entries in (("added", added), ("removed", removed))
        if entries
    ]
    return "; ".join(parts) or "in another order"


def _shown(name: str, value: Any) -> str:
    if value is None or value == ():
        return "none" if name == "auth" else "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(_shown(name, entry) for entry in value)
    if isinstance(value, float):
        return f"{value:g}" if name in _SHARES else f"{value:g}s"
    if isinstance(value, Model):
        return _settings(value)
    if isinstance(value, dict) and name == _BY_METHOD:
        return ", ".join(f"{method} {cost}" for method, cost in value.items())
    if isinstance(value, int) and name.endswith("bytes"):
        return _size(value)
    if isinstance(value, str) and "@" in value:
        return redacted_url(value)
    return str(value) if isinstance(value, int | str | Rate) else "a value that is not shown"


def _size(count: int) -> str:
    for unit, size in _SIZES:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def _listed(entries: Sequence[str]) -> str:
    rest = len(entries) - SHOWN_MAX
    return ", ".join(entries[:SHOWN_MAX]) + (f" and {rest} more" if rest > 0 else "")
