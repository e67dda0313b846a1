from dataclasses import dataclass, field

import pytest

from tidegate.http import Headers
from tidegate.http.errors import Unauthorized
from tidegate.identity import presented_key, unauthorized
from tidegate.identity import without_credentials as without_credentials_of
from tidegate.identity.key_format import new_key

Fields = list[tuple[bytes, bytes]]


def without_credentials(headers: Headers, auth_none: bool) -> Headers:
    return without_credentials_of(headers, auth_none, lambda value: value == b"file_key")


@dataclass
class Case:
    name: str
    sent: Fields
    key: bytes | None
    upstream: Fields = field(default_factory=list)


ACCEPT = (b"accept", b"*/*")
CASES = [
    Case("no_credentials", [ACCEPT], None, [ACCEPT]),
    Case("x_api_key_is_the_key", [(b"x-api-key", b"k"), ACCEPT], b"k", [ACCEPT]),
    Case("bearer_is_the_key", [(b"authorization", b"Bearer k"), ACCEPT], b"k", [ACCEPT]),
    Case("the_scheme_has_no_case", [(b"authorization", b"bEARER  k")], b"k"),
    Case(
        "authorization_passes_beside_x_api_key",
        [(b"authorization", b"Bearer theirs"), (b"x-api-key", b"k")],
        b"k",
        [(b"authorization", b"Bearer theirs")],
    ),
    Case(
        "other_schemes_hold_no_key_and_pass",
        [(b"authorization", b"Basic Zm9v")],
        None,
        [(b"authorization", b"Basic Zm9v")],
    ),
    Case(
        "bearer_without_a_blank_is_another_scheme",
        [(b"authorization", b"Bearerk")],
        None,
        [(b"authorization", b"Bearerk")],
    ),
    Case(
        "an_empty_x_api_key_does_not_make_bearer_the_key",
        [(b"x-api-key", b""), (b"authorization", b"Bearer k")],
        b"",
        [(b"authorization", b"Bearer k")],
    ),
    Case("an_empty_bearer_is_presented", [(b"authorization", b"Bearer ")], b""),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_field_is_the_key_and_only_it_stays_behind(case: Case) -> None:
    headers = Headers(case.sent)
    assert presented_key(headers) == case.key
    assert without_credentials(headers, auth_none=False) == case.upstream
    assert headers == case.sent


@pytest.mark.parametrize(
    "sent",
    [
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"a")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Basic b")],
    ],
)
def test_a_key_is_never_chosen_from_several(sent: Fields) -> None:
    with pytest.raises(Unauthorized, match="more than once"):
        presented_key(Headers(sent))


def test_authorization_always_passes_where_no_key_is_asked_for() -> None:
    sent = Headers([(b"authorization", b"Bearer theirs"), (b"x-api-key", b"k")])
    assert without_credentials(sent, auth_none=True) == [(b"authorization", b"Bearer theirs")]
    assert without_credentials(Headers(sent[:1]), auth_none=True) == sent[:1]


@pytest.mark.parametrize("auth_none", [False, True])
def test_a_made_key_never_passes_as_authorization(auth_none: bool) -> None:
    bearer = b"Bearer " + new_key().encode()
    sent = Headers([(b"x-api-key", b"k"), (b"authorization", bearer), ACCEPT])
    assert without_credentials(sent, auth_none) == [ACCEPT]
    assert without_credentials(Headers(sent[1:]), auth_none) == [ACCEPT]


@pytest.mark.parametrize("auth_none", [False, True])
@pytest.mark.parametrize("authorization", [b"Bearer file_key", b"bearer  file_key "])
def test_a_key_of_the_file_never_passes_as_authorization(
    auth_none: bool, authorization: bytes
) -> None:
    sent = Headers([(b"x-api-key", b"k"), (b"authorization", authorization), ACCEPT])
    assert without_credentials(sent, auth_none) == [ACCEPT]
    assert without_credentials(Headers(sent[1:]), auth_none) == [ACCEPT]


@pytest.mark.parametrize("auth_none", [False, True])
def test_a_key_that_is_given_in_both_fields_passes_in_neither(auth_none: bool) -> None:
    theirs = (b"authorization", b"Bearer theirs")
    sent = Headers([(b"x-api-key", b"k"), theirs, (b"authorization", b"Bearer k")])
    assert without_credentials(sent, auth_none) == [theirs]


@pytest.mark.parametrize("auth_none", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        b"x-tidegate-tenant",
        b"x_tidegate_tenant",
        b"x-tidegate_plan",
        b"x.tidegate.key.id",
        b"x-tidegate-anything",
        b"x_api_key",
    ],
)
def test_what_an_upstream_could_take_for_our_word_is_stripped(name: bytes, auth_none: bool) -> None:
    sent = Headers([(name, b"spoof"), ACCEPT])
    assert without_credentials(sent, auth_none) == [ACCEPT]


def test_fields_that_only_look_alike_pass() -> None:
    sent = Headers([(b"x-tidegatekeeper", b"1"), (b"x-api-keys", b"2"), (b"xtidegate-a", b"3")])
    assert without_credentials(sent, auth_none=False) == sent


def test_a_401_says_how_to_authenticate_and_what_was_read() -> None:
    error = unauthorized()
    assert error.headers.get(b"www-authenticate") == (
        b'ApiKey realm="tidegate", Bearer realm="tidegate"'
    )
    assert "X-API-Key" in error.detail
    assert "Authorization: Bearer" in error.detail
