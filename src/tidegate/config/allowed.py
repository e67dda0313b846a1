"""Which routes a plan has: the short forms of `allow`, what `extends` hands on, and the check.

`allow: reports`, `allow: [reports]` and `allow: {reports: [GET]}` become one list of
`{route, methods}`. A plan's own list takes the place of its parent's whole: what a plan may call is
what can be read in one place. Without one it has its parent's, and `null` lifts that.
"""

from collections.abc import Iterator

from tidegate.config.nodes import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    each,
    found,
    may_be_quoted,
    scalars,
)
from tidegate.config.problems import Problems, did_you_mean

_ROUTES_LISTED_MAX = 10


def expand(plan: Mapping, problems: Problems) -> None:
    """Write out the short forms of one plan's `allow`."""
    allow = plan.fields.get("allow")
    if allow is None or (isinstance(allow, Scalar) and allow.text is None):
        return
    entries = list(_entries(allow))
    if not entries:
        message = f"found {found(allow)}; name the routes, or leave allow out to allow every one"
        problems.add(allow.mark, allow.path, message)
    plan.fields["allow"] = Sequence(allow.path, allow.mark, entries)


def inherit(chain: list[Mapping], problems: Problems) -> None:
    """Give a plan, the first of its chain, the nearest list there is."""
    plan = chain[0]
    own = plan.fields.get("allow")
    if isinstance(own, Scalar) and len(chain) == 1:
        message = "found nothing; name the routes, or leave allow out to allow every one"
        problems.add(own.mark, own.path, message)
    nearest = next((p.fields["allow"] for p in chain if "allow" in p.fields), None)
    if isinstance(nearest, Sequence):
        plan.fields["allow"] = nearest


def lift(plan: Mapping) -> None:
    """Take out a `null`, once every plan has what it inherits."""
    if isinstance(plan.fields.get("allow"), Scalar):
        del plan.fields["allow"]


def check(root: Mapping, problems: Problems) -> None:
    """Each entry names a route there is, once, and methods that the route takes."""
    routes = {
        name.text or "": (name, route)
        for route in each(root, "services", "*", "routes", "*")
        for name in scalars(route, "name")
    }
    for allow in each(root, "plans", "*", "allow"):
        first: dict[str, Scalar] = {}
        for entry in each(allow, "*"):
            for named in scalars(entry, "route"):
                twin = first.setdefault(named.text or "", named)
                if named.text not in routes:
                    names = [name for name, _ in routes.values()]
                    problems.add(named.mark, named.path, _no_route(named, names))
                elif twin is not named:
                    place = f"{twin.path} (line {twin.mark.line})"
                    message = f"the route {found(named)} is here twice, first as {place}"
                    problems.add(named.mark, named.path, message)
                else:
                    _check_methods(entry, named, routes[named.text][1], problems)


def _check_methods(entry: Node, named: Scalar, route: Node, problems: Problems) -> None:
    taken = list(scalars(route, "methods", "*"))
    words = {method.text for method in taken}
    if "GET" in words:
        words.add("HEAD")
    for method in scalars(entry, "methods", "*"):
        if words and method.text not in words:
            message = (
                f"found {found(method)}, which the route {found(named)} does not take; "
                f"it takes {', '.join(method.shown for method in taken)}"
            )
            problems.add(method.mark, method.path, message)


def _no_route(named: Scalar, names: list[Scalar]) -> str:
    quotable = [name.text or "" for name in names if may_be_quoted(name)]
    hint = did_you_mean(named.text or "", quotable) if may_be_quoted(named) else ""
    listed = f"; the routes are {', '.join(name.shown for name in names[:_ROUTES_LISTED_MAX])}"
    return f"found {found(named)}, which is no route{hint or listed}"


def _entries(allow: Node) -> Iterator[Node]:
    if isinstance(allow, Sequence):
        for item in allow.items:
            yield _entry(item)
    elif isinstance(allow, Mapping) and "route" not in allow.fields:
        for name, methods in allow.fields.items():
            mark = allow.key_marks[name]
            named = Scalar(methods.path, mark, name, name)
            yield _long(methods.path, named, methods)
    elif isinstance(allow, Mapping) or allow.text:
        yield _entry(allow)


def _entry(item: Node) -> Node:
    if isinstance(item, Scalar):
        return _long(item.path, item, None)
    if isinstance(item, Mapping):
        methods = item.fields.get("methods")
        if isinstance(methods, Scalar) and methods.text is not None:
            item.fields["methods"] = Sequence(methods.path, methods.mark, [methods])
    return item


def _long(path: str, named: Scalar, methods: Node | None) -> Mapping:
    fields: dict[str, Node] = {"route": named}
    if isinstance(methods, Scalar) and methods.text is not None:
        fields["methods"] = Sequence(methods.path, methods.mark, [methods])
    elif methods is not None and not isinstance(methods, Scalar):
        fields["methods"] = methods
    return Mapping(path, named.mark, fields, dict.fromkeys(fields, named.mark))
