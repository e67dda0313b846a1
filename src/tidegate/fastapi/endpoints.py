"""What a route of the app says to ask for a key, or to be limited: dependencies and a decorator."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Security
from fastapi import Request as HttpRequest
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from tidegate.fastapi.visit import visit_of
from tidegate.identity import Caller

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

MARK: Final = "_tidegate_limits_a_copy"
"""On an endpoint of which `limit` has made another."""
_KEY: Final = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_BEARER: Final = HTTPBearer(scheme_name="BearerKey", auto_error=False)


async def current_caller(
    request: HttpRequest,
    _key: Annotated[str | None, Security(_KEY)] = None,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
) -> Caller:
    """Who calls, by the same key as at the gateway; without one the answer is a 401 problem."""
    return await visit_of(request.scope).caller()


CurrentCaller = Annotated[Caller, Depends(current_caller)]
"""For a parameter: `async def search(caller: CurrentCaller)`."""


class limit:  # noqa: N801 - used as a decorator
    """Charges the caller's plan `cost`, or refuses with a 429 problem: `@limit("search", cost=5)`.

    A decorator below `@app.get(…)`, or a dependency: `Depends(limit("search", cost=5))`, also in
    `dependencies=[…]` of a router. A plan that names its routes (`allow`) must name this one too:
    it is a route of the configuration then.
    """

    def __init__(self, name: str, *, cost: int = 1) -> None:
        if not isinstance(name, str):
            raise TypeError('write @limit("search"): the name of the limit, in parentheses')
        if not isinstance(cost, int) or isinstance(cost, bool):
            raise TypeError(f'a cost is a whole number: write @limit("{name}", cost=5)')
        if cost < 1:
            raise ValueError("a request costs at least 1")
        self._name = name
        self._cost = cost
        charged = inspect.Parameter(
            "charged",
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[Caller, Depends(self._charge)],
        )
        self._parameter = charged.replace(name=f"_charged_{id(self)}")
        self.__signature__ = inspect.Signature([charged])
        """What FastAPI sees of `__call__` where this is a dependency."""

    def __call__(self, endpoint: Any = None, *, charged: Caller | None = None) -> Any:
        """Return the caller that was charged; as a decorator, the endpoint that charges first."""
        return charged if endpoint is None else self._decorated(endpoint)

    async def _charge(self, request: HttpRequest, caller: CurrentCaller) -> Caller:
        await visit_of(request.scope).charge(caller, self._name, self._cost)
        return caller

    def _decorated(self, endpoint: EndpointT) -> EndpointT:
        name = self._parameter.name
        if inspect.iscoroutinefunction(endpoint):

            @wraps(endpoint)
            async def charging(*args: Any, **values: Any) -> Any:
                del values[name]
                return await endpoint(*args, **values)
        else:

            @wraps(endpoint)
            def charging(*args: Any, **values: Any) -> Any:
                del values[name]
                return endpoint(*args, **values)

        charging.__signature__ = _with(self._parameter, endpoint)  # type: ignore[attr-defined]
        setattr(endpoint, MARK, True)
        return charging  # type: ignore[return-value]


def _with(parameter: inspect.Parameter, endpoint: Callable[..., Any]) -> inspect.Signature:
    """Return the endpoint's signature with one more parameter, its annotations evaluated."""
    try:
        signature = inspect.signature(endpoint, eval_str=True)
    except NameError:  # FastAPI resolves what it can itself
        signature = inspect.signature(endpoint)
    own = list(signature.parameters.values())
    last = next((i for i, p in enumerate(own) if p.kind is p.VAR_KEYWORD), len(own))
    return signature.replace(parameters=[*own[:last], parameter, *own[last:]])
