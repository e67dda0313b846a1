"""Two policies for llm_gateway.yaml, between its clients and a provider.

`build` asks for usage in every stream: what is not told cannot be settled, and a client that leaves
`stream_options` out would pay no more than the reservation, however long its answer is. `with_key`
sends the provider's key, which clients never see: theirs opens this gateway, and ends here.
"""

import json

from pydantic import BaseModel, SecretStr

from tidegate.policies import Next, Policy, Request, Response


class Provider(BaseModel):
    key: SecretStr


def with_key(settings: Provider) -> Policy:
    authorization = b"Bearer " + settings.key.get_secret_value().encode()

    async def send_key(request: Request, call_next: Next) -> Response:
        # The caller is known by now. With X-API-Key there, which never passes, Authorization is
        # the service's own; without it, it would be taken for the caller's key, and off.
        request.headers.replace(b"x-api-key", b"known")
        request.headers.replace(b"authorization", authorization)
        return await call_next(request)

    return send_key


def build() -> Policy:
    async def ask_for_usage(request: Request, call_next: Next) -> Response:
        body = request.body
        if not isinstance(body, bytes):
            # At most the route's `body_bytes`.
            body = b"".join([piece async for piece in body])
        request.body = with_usage(body)
        request.content_length = len(request.body)
        return await call_next(request)

    return ask_for_usage


def with_usage(body: bytes) -> bytes:
    """Return a request's JSON so that a stream ends with its usage; what is no JSON as it is."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(asked, dict) or asked.get("stream") is not True:
        return body
    options = asked.get("stream_options")
    asked["stream_options"] = {
        **(options if isinstance(options, dict) else {}),
        "include_usage": True,
    }
    return json.dumps(asked).encode()
