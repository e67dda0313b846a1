"""Signatures are those of Standard Webhooks: held to the vector of its reference libraries."""

import base64

from tidegate.webhooks.signature import signature, signed_headers

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1614265330
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector():
    assert signature(ID, AT_S, BODY, KEY) == SIGNED


def test_an_attempt_is_named_dated_and_signed():
    assert signed_headers(ID, AT_S, BODY, [KEY]) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNED,
    }


def test_while_the_secret_changes_both_sign():
    fields = signed_headers(ID, AT_S, BODY, [b"new" * 8, KEY])
    new, old = fields["webhook-signature"].split(" ")
    assert old == SIGNED
    assert new.startswith("v1,")
    assert new != old


def test_each_part_is_signed():
    others = {
        signature("msg_other", AT_S, BODY, KEY),
        signature(ID, AT_S + 1, BODY, KEY),
        signature(ID, AT_S, BODY + b" ", KEY),
        signature(ID, AT_S, BODY, KEY[::-1]),
    }
    assert len(others | {SIGNED}) == 5
