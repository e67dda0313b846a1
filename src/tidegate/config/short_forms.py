"""Rewrite the short forms on the tree, so that everything behind knows one form only.

`premium: {rate: 5/s, burst: 10, quota: 1000/day}` becomes two limits, `steady` and `daily`;
`cache: 60s` and `admin: false` a mapping; `auth: none` an empty list. A top-level section that is
left empty (its entries commented out) counts as left out. Nodes keep the path under which they were
written.
"""

from typing import Final

from tidegate.config import allowed
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence, each, joined
from tidegate.config.problems import Problems

BUCKET_NAME: Final = "steady"
QUOTA_NAME: Final = "daily"
YES: Final = frozenset(("true", "yes", "on"))
NO: Final = frozenset(("false", "no", "off", "none"))


def expand(root: Mapping, problems: Problems) -> None:
    for name, section in list(root.fields.items()):
        if isinstance(section, Scalar) and section.text is None:
            del root.fields[name]
    for plan in each(root, "plans", "*"):
        if isinstance(plan, Mapping):
            _expand_limits(plan, problems)
            allowed.expand(plan, problems)
    for route in each(root, "plans", "*", "routes", "*"):
        if isinstance(route, Mapping):
            _expand_limits(route, problems)
    for route in each(root, "services", "*", "routes", "*"):
        if isinstance(route, Mapping):
            _expand_auth(route, problems)
            _expand_cache(route)


def is_open(route: Node) -> bool:
    """Whether a route, its short forms expanded, has `auth: none`."""
    auth = next(each(route, "auth"), None)
    return isinstance(auth, Sequence) and not auth.items


def expand_admin(root: Mapping) -> None:
    """Comes before the environment is laid over the file: its port must not switch admin on."""
    admin = root.fields.get("admin")
    if isinstance(admin, Scalar) and admin.text is not None and admin.text.lower() in YES | NO:
        root.fields["admin"] = _switch(admin)


def _expand_limits(plan: Mapping, problems: Problems) -> None:
    short: dict[str, Node] = {
        name: plan.fields.pop(name) for name in ("rate", "burst", "quota") if name in plan.fields
    }
    if not short:
        return
    limits = plan.fields.setdefault("limits", Sequence(joined(plan.path, "limits"), plan.mark))
    if not isinstance(limits, Sequence):
        return
    if "rate" in short:
        fields = {name: node for name, node in short.items() if name != "quota"}
        limits.items.append(_limit(plan, BUCKET_NAME, fields))
    elif "burst" in short:
        burst = short["burst"]
        problems.add(burst.mark, burst.path, 'a burst needs a rate beside it, such as "rate: 5/s"')
    if "quota" in short:
        limits.items.append(_limit(plan, QUOTA_NAME, {"quota": short["quota"]}))


def _limit(plan: Mapping, name: str, fields: dict[str, Node]) -> Mapping:
    first = next(iter(fields.values()))
    named: dict[str, Node] = {"name": Scalar(first.path, first.mark, name, name)}
    return Mapping(plan.path, first.mark, named | fields, dict(plan.key_marks))


def _expand_auth(route: Mapping, problems: Problems) -> None:
    auth = route.fields.get("auth")
    if isinstance(auth, Scalar) and auth.text is None:
        problems.add(auth.mark, auth.path, "found nothing; write none or [api-key]")
    elif isinstance(auth, Scalar):
        items: list[Node] = [] if auth.text == "none" else [auth]
        route.fields["auth"] = Sequence(auth.path, auth.mark, items)
    elif isinstance(auth, Sequence) and not auth.items:
        message = "found an empty list; write none where no key shall be asked for"
        problems.add(auth.mark, auth.path, message)


def _expand_cache(route: Mapping) -> None:
    cache = route.fields.get("cache")
    if not isinstance(cache, Scalar) or cache.text is None:
        return
    if cache.text.lower() in YES | NO:
        route.fields["cache"] = _switch(cache)
    else:
        name = "default_ttl"
        route.fields["cache"] = Mapping(cache.path, cache.mark, {name: cache}, {name: cache.mark})


def _switch(written: Scalar) -> Mapping:
    assert written.text is not None  # noqa: S101 looked at by the caller
    written.text = "false" if written.text.lower() in NO else "true"
    name = "enabled"
    return Mapping(written.path, written.mark, {name: written}, {name: written.mark})
