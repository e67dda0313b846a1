"""Says of a tenant that there is none, with those there are or the one that was likely meant."""

from typing import TYPE_CHECKING, Final

from tidegate.cli.failure import Failure

if TYPE_CHECKING:
    from tidegate.cli.operations import Operations

NAMED_MAX: Final = 10


async def require_tenant(operations: "Operations", tenant: str) -> None:
    """Raises Failure if there is no such tenant."""
    if not await operations.has_tenant(tenant):
        raise Failure(f"There is no tenant {tenant}{_hint(tenant, await operations.tenants())}")


def _hint(tenant: str, known: list[str]) -> str:
    """Of many, some are named."""
    from tidegate.config.problems import did_you_mean

    if close := did_you_mean(tenant, known):
        return close
    if not known:
        return ": there are none yet"
    more = ", ..." if len(known) > NAMED_MAX else ""
    return f": there {'is' if len(known) == 1 else 'are'} {', '.join(known[:NAMED_MAX])}{more}"
