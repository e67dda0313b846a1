"""A policy of your own in one file: refuse requests that lack a header, and mark the answers.

In the configuration, on a route:

    policies:
      - use: policies/require_header.py
        settings: {name: x-client-version}
"""

from pydantic import BaseModel, Field

from tidegate.http import Headers
from tidegate.policies import Next, Policy, Request, Response


class Settings(BaseModel):
    """What may stand under `settings:`; a mistake there is a load error that names the field."""

    name: str = Field(pattern="^[a-z0-9-]+$")
    status: int = Field(default=400, ge=400, le=499)


def build(settings: Settings) -> Policy:
    """Runs once for each route: whatever does not depend on the request is worked out here."""
    name = settings.name.encode()
    refusal = f"The header {settings.name} is missing\n".encode()

    async def require_header(request: Request, call_next: Next) -> Response:
        value = request.headers.get(name)
        if value is None:
            return Response(settings.status, Headers([(b"content-type", b"text/plain")]), refusal)
        response = await call_next(request)
        response.headers.append((b"x-seen-" + name, value))
        return response

    return require_header
