"""Asks for usage in every stream, for llm_gateway.yaml: what is not told cannot be settled.

A client that leaves `stream_options` out would otherwise pay no more than the reservation, however
long its answer is.
"""

import json

from tidegate.policies import Next, Policy, Request, Response


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
