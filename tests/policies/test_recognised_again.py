"""A key in fields that were met before is recognised without hashing, and by no older knowledge."""

import asyncio

import pytest

from tidegate.http import HeaderField, Headers, Request
from tidegate.http.errors import Unauthorized
from tidegate.http.headers import FieldBlock
from tidegate.identity import Caller, KeyResolver, Repository, Stranger, new_key
from tidegate.identity import resolver as resolver_module
from tidegate.policies.authenticate import Recognition
from tidegate.testing import Kit

FIELDS: tuple[HeaderField, ...] = ((b"x-api-key", b"premium_user"), (b"host", b"a"))


def again(block: FieldBlock) -> Request:
    request: Request = Request("GET", b"/api", Headers(block.fields))
    request.block = block
    return request


@pytest.fixture
async def kit(kit_listening) -> Kit:
    return await kit_listening()


def recognition(kit: Kit, resolver: KeyResolver | None = None) -> Recognition:
    return Recognition(resolver or kit.gateway.parts.resolver, None)


@pytest.fixture
def hashed(monkeypatch) -> list[bytes]:
    """What was hashed since."""
    seen: list[bytes] = []
    blake2s = resolver_module.blake2s

    def noted(presented, **options):
        seen.append(presented)
        return blake2s(presented, **options)

    monkeypatch.setattr(resolver_module, "blake2s", noted)
    return seen


async def test_equal_fields_are_hashed_once(kit, hashed):
    block = FieldBlock(FIELDS)
    first, second = (recognition(kit).as_arrived(again(block)) for _ in range(2))
    assert isinstance(first, Caller)
    assert first is second
    assert hashed == [b"premium_user"]


@pytest.mark.parametrize("key", [b"no_such_key", b"", b"k" * 5000, None])
async def test_a_stranger_stays_a_stranger_of_the_same_digest(kit, key):
    key = new_key().encode() if key is None else key
    block = FieldBlock(((b"x-api-key", key), (b"host", b"a")))
    fresh = kit.gateway.parts.resolver.recognise(key)
    assert isinstance(fresh, Stranger)
    for _ in range(2):
        found = recognition(kit).as_arrived(again(block))
        assert isinstance(found, Stranger)
        assert (found.presented, found.digest) == (fresh.presented, fresh.digest)


async def test_without_a_key_there_is_nobody_however_often(kit):
    block = FieldBlock(((b"host", b"a"),))
    assert [recognition(kit).as_arrived(again(block)) for _ in range(2)] == [None, None]


async def test_several_keys_are_refused_each_time(kit):
    block = FieldBlock((*FIELDS, (b"x-api-key", b"other")))
    for _ in range(2):
        with pytest.raises(Unauthorized):
            recognition(kit).as_arrived(again(block))


async def test_what_one_resolver_noted_is_nothing_to_the_next(kit, tidegate_store):
    block = FieldBlock(FIELDS)
    known = recognition(kit).as_arrived(again(block))
    later = KeyResolver(kit.gateway.config, tidegate_store)  # as a reload makes one
    try:
        found = recognition(kit, later).as_arrived(again(block))
        assert isinstance(found, Caller)
        assert found is not known
    finally:
        later.close()


async def test_a_revoked_key_is_not_known_by_its_fields(kit, tidegate_store):
    repository = Repository(kit.gateway.config, tidegate_store)
    created = await repository.create_key("acme", "laptop")
    resolver = kit.gateway.parts.resolver
    block = FieldBlock(((b"x-api-key", created.key.encode()), (b"host", b"a")))
    assert isinstance(recognition(kit).as_arrived(again(block)), Stranger)
    async with asyncio.timeout(1.0):  # word of its creation may drop the first copy
        while isinstance(recognition(kit).as_arrived(again(block)), Stranger):
            await resolver.resolve(created.key.encode())
    await repository.revoke_key(created.stored.key_id)
    async with asyncio.timeout(1.0):
        while isinstance(recognition(kit).as_arrived(again(block)), Caller):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
