"""Keys: made and shown once, listed, renamed, given a new secret, revoked.

A key is its id: name and secret may change under it, and what it has spent stays. The secret is in
the answer to `create_key` and `rotate_key` and nowhere else, not even in the store.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from tidegate.control import removals
from tidegate.control.fields import (
    AS_WHOLE,
    Body,
    KeyIdInPath,
    Name,
    Shown,
    ShownObject,
)
from tidegate.control.limit_fields import Limits, ShownLimit, checked_limits, shown_limits
from tidegate.control.paging import Listed, PositionQuery, listed
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.identity import CreatedKey, StoredKey
from tidegate.identity.repository import OVERLAP_S_MAX

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class NewKeyBody(Body):
    tenant: Name
    name: Name
    limits: Limits = Field(default_factory=list)
    """In place of the tenant's and the plan's of the same name."""


class KeyChangeBody(Body):
    """What is left out stays."""

    name: Name | None = None
    limits: Limits | None = None
    """In place of those it has; an empty list: those of its tenant and plan hold."""


class RotationBody(Body):
    overlap_s: Annotated[int, Field(ge=0, le=OVERLAP_S_MAX), AS_WHOLE]
    """How long the secret before this one still works, in seconds. 0: all older ones end now."""


class ShownKey(ShownObject):
    id: str
    tenant: str
    name: str
    rotated_at: int | None
    older_secrets_end_at: int | None
    """When the last secret before the current one ends, or has ended."""
    in_force: bool
    """There is its tenant. A key whose tenant has left the file opens nothing."""
    limits: list[ShownLimit]
    """In place of the tenant's and the plan's of the same name."""


class ShownSecret(ShownKey):
    key: str
    """The secret itself, this once."""
    durable: bool
    """The store has said that it is on disk."""


class RevokedKeyShown(Shown):
    id: str
    tenant: str
    name: str
    durable: bool
    """No power loss can bring the key back."""


@router.get("")
async def list_keys(
    parts: PartsNeeded,
    position: PositionQuery,
    tenant: Annotated[Name | SkipJsonSchema[None], Query()] = None,
) -> Listed[ShownKey]:
    """List the keys of one tenant or of all, by tenant and name; never their secrets."""
    page = await parts.repository.list_keys(
        tenant=tenant, after=position.after, count=position.count
    )
    return listed(page, lambda key: ShownKey(**_members(parts, key)))


@router.post(
    "",
    status_code=201,
    responses={404: {"description": "There is no such tenant"}, 409: {}},
)
async def create_key(body: NewKeyBody, parts: PartsNeeded, response: Response) -> ShownSecret:
    """Make a key. It works at once; its secret is in this answer alone."""
    limits = checked_limits(body.limits)
    parts.refuse_unheard(limits)
    await removals.check_key(parts, body.tenant, limits)
    created = await parts.repository.create_key(body.tenant, body.name, limits=limits)
    response.headers["location"] = f"/v1/keys/{created.stored.key_id}"
    return _secret(parts, created)


@router.get("/{key_id}", responses={404: {}})
async def get_key(key_id: KeyIdInPath, parts: PartsNeeded) -> ShownKey:
    """Show a key without its secret."""
    return ShownKey(**_members(parts, await parts.repository.get_key(key_id)))


@router.patch("/{key_id}", responses={404: {}, 409: {}, 412: {}})
async def change_key(key_id: KeyIdInPath, body: KeyChangeBody, parts: PartsNeeded) -> ShownKey:
    """Give a key another name, or limits of its own. Id, secret and what it has spent stay."""
    limits = None if body.limits is None else checked_limits(body.limits)
    if limits:
        parts.refuse_unheard(limits)
        its = await parts.repository.get_key(key_id)
        await removals.check_key(parts, its.tenant, limits)
    key = await parts.repository.change_key(key_id, name=body.name, limits=limits)
    return ShownKey(**_members(parts, key))


@router.post("/{key_id}/rotate", responses={404: {}, 409: {}, 412: {}})
async def rotate_key(key_id: KeyIdInPath, body: RotationBody, parts: PartsNeeded) -> ShownSecret:
    """Give a key a new secret, shown in this answer alone. The one before it works on for
    `overlap_s` at most, in every gateway.

    A rotation never gives an older secret more time than it had.
    """
    return _secret(parts, await parts.repository.rotate_key(key_id, body.overlap_s))


@router.delete("/{key_id}", responses={404: {}, 409: {}, 412: {}})
async def revoke_key(key_id: KeyIdInPath, parts: PartsNeeded) -> RevokedKeyShown:
    """Revoke a key with every secret it has: all gateways refuse it within a second.

    Revoking it again is 404 and changes nothing.
    """
    revoked = await parts.repository.revoke_key(key_id)
    key = revoked.stored
    return RevokedKeyShown(id=key.key_id, tenant=key.tenant, name=key.name, durable=revoked.durable)


def _secret(parts: Parts, created: CreatedKey) -> ShownSecret:
    return ShownSecret(**_members(parts, created.stored), key=created.key, durable=created.durable)


def _members(parts: Parts, key: StoredKey) -> dict[str, object]:
    return {
        "id": key.key_id,
        "tenant": key.tenant,
        "name": key.name,
        "origin": key.origin,
        "defined_in": parts.defined_in(key.origin, "key", f"{key.tenant}/{key.name}"),
        "created_at": key.created_at,
        "rotated_at": key.rotated_at,
        "older_secrets_end_at": key.older_end_at,
        "in_force": key.in_force,
        "limits": shown_limits(key.limits),
    }
