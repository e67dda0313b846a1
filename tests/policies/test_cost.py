"""What a request costs: by number, method, header and function; and each way to get it wrong."""

import logging
from pathlib import Path

import pytest

from tidegate.config.costs import FunctionCost, HeaderCost
from tidegate.config.schema import Route, TokenBucket
from tidegate.http import Headers, Request
from tidegate.http.errors import BadRequest, PolicyFailed
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.cost import CostUnclear, RouteCosts, cost_of
from tidegate.policies.own_code import PolicyNotLoaded
from tidegate.rate_limiter import Counter, Subject
from tidegate.rate_limiter.limits import compiled_subject

PROXIES = TrustedProxies(("10.0.0.0/8",))
HERE = Path()
BY_HEADER = HeaderCost(header="X-Cost", default=2, max=100)
FUNCTIONS = """
import time
from tidegate.http.errors import BadRequest

class Priced:
    def __init__(self, price): self.price = price
    def __call__(self, request): return self.price

async def waits(request): return 1
def yields(request): yield 1
def nothing(): return 1
def two(request, context): return 1
def optional(request, context=None): return 3
def cost(request): return len(request.path)
def raises(request): raise ValueError("the secret is hunter2")
def refuses(request): raise BadRequest("no")
def slow(request): time.sleep(0.03); return 1
def text(request): return "7"
def negative(request): return -1
def true(request): return True
def none(request): pass
def large(request): return 10**9
class Waits:
    async def __call__(self, request): return 1

waits_too = Waits()
priced = Priced(4)
number = 3
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "costs.py").write_text(FUNCTIONS)
    return tmp_path


def request_of(method: str = "GET", client: str = "10.1.1.1", *values: str) -> Request:
    headers = Headers((b"x-cost", value.encode()) for value in values)
    return Request(method, b"/abc", headers, client=client)


def subject(*, shadow: bool = False, **capacities: int) -> Subject:
    """Return limits that hold so much of each unit."""
    limits = tuple(
        TokenBucket(name=unit, rate="1/s", burst=most, unit=unit, shadow=shadow)
        for unit, most in capacities.items()
    )
    return compiled_subject([Counter(b"s", limits)], ("requests", "tokens", "b"))


def by_function(directory: Path, name: str = "cost", **settings: int):
    return cost_of(FunctionCost(function=f"costs.py:{name}", **settings), PROXIES, directory)


def test_a_number_is_known_before_any_request():
    costs = RouteCosts.of_route(Route(name="r", cost=5), PROXIES, HERE)
    assert (costs.units, costs.fixed) == (("requests",), (5,))
    assert costs.of(request_of(), subject()) == (5,)


def test_units_beside_requests_follow_in_their_order():
    route = Route(
        name="r", cost={"GET": 2}, costs={"tokens": {"reserve": 500}, "b": {"reserve": 7}}
    )
    costs = RouteCosts.of_route(route, PROXIES, HERE)
    assert (costs.units, costs.fixed) == (("requests", "tokens", "b"), None)
    assert costs.of(request_of(), subject()) == (2, 500, 7)
    assert costs.of(request_of(), subject(tokens=100)) == (2, 100, 7)
    assert costs.of(request_of(), subject(tokens=1000, b=3)) == (2, 500, 3)


def test_a_reservation_may_depend_on_the_request_as_a_cost_does(directory):
    reserve = {"function": "costs.py:large", "max": 2000}
    costs = {"tokens": {"reserve": reserve}, "b": {"reserve": {"POST": 3, "default": 0}}}
    route = RouteCosts.of_route(Route(name="r", costs=costs), PROXIES, directory)
    assert route.fixed is None
    assert route.of(request_of(), subject()) == (1, 2000, 0)
    assert route.of(request_of("POST"), subject(tokens=1000)) == (1, 1000, 3)


def test_a_limit_in_the_shadow_lowers_no_reservation():
    costs = RouteCosts(1, [("tokens", 500), ("b", 1)])
    assert costs.of(request_of(), subject(tokens=100, shadow=True)) == (1, 500, 1)


def test_a_cost_by_method_and_its_default():
    cost = cost_of({"GET": 1, "POST": 5, "HEAD": 0, "default": 3}, PROXIES, HERE)
    found = [cost(request_of(method)) for method in ("GET", "POST", "HEAD", "PUT")]
    assert found == [1, 5, 0, 3]
    assert cost_of({"POST": 5}, PROXIES, HERE)(request_of("GET")) == 1


@pytest.mark.parametrize(
    ("client", "values", "expected"),
    [
        ("10.1.1.1", ("7",), 7),
        ("10.1.1.1", ("0",), 0),
        ("10.1.1.1", ("100",), 100),
        ("10.1.1.1", ("101",), 100),
        ("10.1.1.1", ("9" * 18,), 100),
        ("10.1.1.1", (), 2),
        ("192.0.2.1", ("7",), 2),
        ("192.0.2.1", ("nonsense",), 2),
        ("", ("7",), 2),
    ],
)
def test_a_header_is_believed_from_trusted_proxies_up_to_max(client, values, expected):
    cost = cost_of(BY_HEADER, PROXIES, HERE)
    assert cost(request_of("GET", client, *values)) == expected


def test_without_trusted_proxies_nobody_names_his_own_price():
    cost = cost_of(BY_HEADER, TrustedProxies(()), HERE)
    assert cost(request_of("GET", "127.0.0.1", "0")) == 2


@pytest.mark.parametrize(
    "values", [("",), ("-1",), ("1.5",), ("x",), ("1, 2",), ("1", "1"), ("²",), ("9" * 5000,)]
)
def test_what_a_trusted_proxy_says_wrong_is_a_400_that_names_the_header(values):
    cost = cost_of(BY_HEADER, PROXIES, HERE)
    with pytest.raises(CostUnclear) as caught:
        cost(request_of("GET", "10.1.1.1", *values))
    assert caught.value.status == 400
    assert caught.value.detail == "x-cost must be one whole number; more than 100 counts as that"
    assert not caught.value.closes_connection


def test_a_function_tells_the_cost_and_max_bounds_it(directory):
    assert by_function(directory)(request_of()) == 4
    assert by_function(directory, max=3)(request_of()) == 3
    assert by_function(directory, "large")(request_of()) == 10**6
    assert by_function(directory, "optional")(request_of()) == 3
    assert by_function(directory, "priced")(request_of()) == 4


def test_the_function_called_cost_need_not_be_named(directory):
    cost = cost_of(FunctionCost(function="costs.py"), PROXIES, directory)
    assert cost(request_of()) == 4


@pytest.mark.parametrize("name", ["raises", "text", "negative", "true", "none", "yields"])
def test_a_function_that_fails_is_a_500_without_its_words_and_is_logged(directory, name, caplog):
    with pytest.raises(PolicyFailed) as caught:
        by_function(directory, name)(request_of())
    told = f"{caught.value.detail} {caught.value.members}"
    assert caught.value.status == 500
    assert "hunter2" not in told
    assert str(directory) not in told
    assert f"cost function costs.py:{name}" in caplog.text
    assert ("hunter2" in caplog.text) is (name == "raises")


def test_a_function_may_refuse_with_an_error_of_the_gateways_tree(directory):
    with pytest.raises(BadRequest):
        by_function(directory, "refuses")(request_of())


def test_a_slow_function_is_told_of_once_a_minute(directory, caplog):
    cost = by_function(directory, "slow")
    with caplog.at_level(logging.WARNING):
        assert [cost(request_of()) for _ in range(3)] == [1, 1, 1]
    assert caplog.text.count("cost function costs.py:slow took") == 1


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("costs.py:waits", "it is `async`"),
        ("costs.py:waits_too", "it is `async`"),
        ("costs.py:nothing", "it takes one argument, the request: write `def cost(request)`"),
        ("costs.py:two", "it takes one argument"),
        ("costs.py:number", "it has no function `number`"),
        ("costs.py:missing", "it has no function `missing`"),
        ("others.py", "no file"),
        ("no_such_module_here:cost", "importing it raised ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_one_is_a_load_error(directory, use, message):
    with pytest.raises(PolicyNotLoaded) as caught:
        cost_of(FunctionCost(function=use), PROXIES, directory)
    assert f"cost function `{use}`: " in str(caught.value)
    assert message in str(caught.value)
