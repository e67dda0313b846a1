"""A typed client of the admin API, for the commands: identity's own values come out of it.

A request is sent once. What the API refuses becomes a Failure in the API's own words, which are
those that the same act has straight on the store. A gateway of another version may run: what its
API says beyond what is known here is passed over, and what it never heard of is not missed.
"""

from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import httpx2
from pydantic import SecretStr

from tidegate.cli.failure import Failure
from tidegate.cli.purge import Purge
from tidegate.cli.urls import first_path
from tidegate.identity import CreatedKey, RevokedKey, StoredKey

if TYPE_CHECKING:
    from tidegate.cli.explain import AskedRequest
    from tidegate.cli.limits_explain import WhoseLimits
    from tidegate.cli.limits_reset import SharedLimits
    from tidegate.gateway import Explanation, LimitsExplained

CONNECT_S: Final = 2.0
ANSWER_S: Final = 20.0
"""Beyond what the API itself waits for the store; a control process that starts is waited for."""
PAGE_ITEMS: Final = 500


class AdminUnreachable(Exception):
    """Nothing was done: nobody listens there, or it does not take the token."""


class NotThere(Failure):
    """There is no such object."""


class AdminClient:
    """Does at the admin API what StoreOperations does on the store (operations.py)."""

    def __init__(self, url: str, token: SecretStr) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            # No proxy of the environment shall see the token.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def path_to_try(self) -> str:
        """Asked before a key is made: what fails after it would keep it from being shown."""
        try:
            routes = [route for route in await self.routes() if route["auth"]]
            return first_path((*route["exact_paths"], *route["paths"]) for route in routes)
        except (Failure, KeyError):
            return "/"

    async def has_tenant(self, name: str) -> bool:
        try:
            await self._asked("GET", f"/v1/tenants/{name}")
        except NotThere:
            return False
        return True

    async def tenants(self) -> list[str]:
        return [tenant["name"] for tenant in (await self._asked("GET", "/v1/tenants"))["items"]]

    async def routes(self) -> list[dict[str, Any]]:
        """As the API tells them, whose words are the file's."""
        items: list[dict[str, Any]] = (await self._asked("GET", "/v1/routes"))["items"]
        return items

    async def plans(self) -> list[dict[str, Any]]:
        """Of the file and of the API."""
        return await self._listed("/v1/plans")

    async def keys(self, tenant: str | None) -> list[StoredKey]:
        return list(map(_key, await self._listed("/v1/keys", tenant=tenant)))

    async def create_key(self, tenant: str, name: str) -> CreatedKey:
        return _created(await self._asked("POST", "/v1/keys", {"tenant": tenant, "name": name}))

    async def rotate_key(self, key_id: str, overlap_s: int) -> CreatedKey:
        told = await self._asked("POST", f"/v1/keys/{key_id}/rotate", {"overlap_s": overlap_s})
        return _created(told)

    async def revoke_key(self, key: StoredKey) -> RevokedKey:
        told = await self._asked("DELETE", f"/v1/keys/{key.key_id}")
        return RevokedKey(key, told["durable"])

    async def reset_limits(self, tenant: str, key_id: str | None) -> int:
        whose = f"tenants/{tenant}" if key_id is None else f"keys/{key_id}"
        told = await self._asked("POST", f"/v1/{whose}/limits/reset")
        return int(told["states"])

    async def reset_shared_limits(self, what: "SharedLimits") -> int:
        return int((await self._asked("POST", "/v1/limits/reset", what.body))["states"])

    async def purge_cache(self, what: Purge) -> None:
        await self._asked("POST", "/v1/cache/purge", what.body)

    async def explain(self, asked: "AskedRequest") -> "Explanation":
        from tidegate.gateway import Explanation

        # What is not given is not sent: a gateway of an earlier version may not know its name.
        body = {name: value for name, value in asdict(asked).items() if value}
        return Explanation.from_dict(await self._asked("POST", "/v1/explain", body))

    async def explain_limits(self, whose: "WhoseLimits") -> "LimitsExplained":
        from tidegate.gateway import LimitsExplained

        asked = {name: value for name, value in asdict(whose).items() if value}
        return LimitsExplained.from_dict(await self._asked("POST", "/v1/limits/explain", asked))

    async def decisions_after(
        self, after: str, count: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """`after` is a cursor, or whole milliseconds since 1970."""
        query: dict[str, str | int] = {"limit": count}
        query |= {"since": int(after) // 1000} if after.isdigit() else {"cursor": after}
        page = await self._asked("GET", "/v1/decisions", query=query)
        return page["items"], page["next_cursor"]

    async def _listed(self, path: str, **narrowed: str | None) -> list[dict[str, Any]]:
        """Return the items of all pages."""
        found: list[dict[str, Any]] = []
        query: dict[str, str | int] = {"limit": PAGE_ITEMS}
        query |= {name: value for name, value in narrowed.items() if value is not None}
        while True:
            page = await self._asked("GET", path, query=query)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    async def _asked(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str | int] | None = None,
    ) -> Any:
        try:
            answer = await self._client.request(method, path, json=body, params=query)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise AdminUnreachable(str(error)) from error
        except httpx2.HTTPError as error:
            raise Failure(
                f"The admin API at {self._url} did not answer ({type(error).__name__}): "
                "whether it was done is not known."
            ) from error
        if answer.status_code == 401:
            raise AdminUnreachable("it does not take the token")
        if answer.status_code == 404:
            raise NotThere(_refusal(answer))
        if answer.status_code >= 400:
            raise Failure(_refusal(answer))
        return answer.json()


def _refusal(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The admin API answered with status {answer.status_code}."


def _created(told: dict[str, Any]) -> CreatedKey:
    return CreatedKey(told["key"], _key(told), told["durable"])


def _key(told: dict[str, Any]) -> StoredKey:
    return StoredKey(
        told["id"],
        told["tenant"],
        told["name"],
        told["origin"],
        told["created_at"],
        told.get("rotated_at"),
        told.get("older_secrets_end_at"),
        told.get("in_force", True),
    )
