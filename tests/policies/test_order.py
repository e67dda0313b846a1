"""The one order of policies, held as a golden list."""

from pathlib import Path

from tidegate.policies import asks_of, chain_of

OWN = """
def build():
    async def policy(request, call_next):
        order.append("%s")
        return await call_next(request)
    return policy
order = []
"""


def names(kit) -> list[str]:
    return [name for name, _ in kit.gateway.snapshot.routes[0].policies]


async def test_the_order_of_a_route_with_everything(tidegate_kit, tmp_path: Path):
    for name in ("first", "second", "third"):
        (tmp_path / f"{name}.py").write_text(OWN % name)
    kit = await tidegate_kit(
        policies=[
            {"use": "third.py", "before": "forward"},
            {"use": "first.py", "before": "authenticate"},
            {"use": "second.py", "before": "limit"},
        ],
        directory=tmp_path,
        route={
            "body_bytes": 1000,
            "costs": {"tokens": {"reserve": 1, "settle": {"json": "usage"}}},
        },
    )
    assert names(kit) == [
        "request_identity",
        "first.py",
        "authenticate",
        "second.py",
        "limit",
        "settle",
        "body_bound",
        "third.py",
        "forward",
    ]


async def test_a_route_without_auth_has_neither_authenticate_nor_limit(tidegate_kit):
    kit = await tidegate_kit(route={"auth": []})
    assert names(kit) == ["request_identity", "forward"]


async def test_nothing_is_asked_for_a_request_that_an_earlier_policy_may_refuse(
    tidegate_kit, tmp_path: Path
):
    (tmp_path / "own.py").write_text(OWN % "own")
    kit = await tidegate_kit(
        policies=[{"use": "own.py", "before": "limit"}],
        plan=[{"name": "steady", "rate": "1/h", "burst": 5}],
        directory=tmp_path,
    )
    route = kit.gateway.snapshot.routes[0]
    assert [ask.__self__.__class__.__name__ for ask in route.asks] == [
        "RequestIdentity",
        "Authenticate",
    ]
    assert asks_of(route.policies) == route.asks
    assert callable(chain_of(route.policies))
