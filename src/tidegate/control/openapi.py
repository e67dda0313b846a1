"""The OpenAPI document: FastAPI's, with the errors as they really are and the token where it is
asked for.

FastAPI documents validation errors in a shape of its own, and knows nothing of the guard. Every
operation here says which problems it may answer with.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

EVERYWHERE: Final = {
    "400": "The request is not valid HTTP",
    "421": "The Host is none of ours",
    "500": "The control process failed",
    "503": "The store cannot be reached",
}
WITH_TOKEN: Final = {"401": "The admin token is needed"}
WITH_INPUT: Final = {
    "408": "The body did not come in time",
    "413": "The body is too large",
    "422": "The request does not fit the API",
}
USUAL: Final = {
    "404": "There is no such object",
    "409": "The change conflicts with what there is",
    "412": "The object was changed meanwhile",
}
PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. Members beyond these may be there.",
    "required": ["type", "title", "status", "source"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "source": {"type": "string", "const": "gateway"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"in": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_CONTENT: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_OF_FASTAPI: Final = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI, open_paths: Collection[str]) -> dict[str, Any]:
    """Return the document of `app`; what is under `open_paths` needs no token."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = {"admin token": {"type": "http", "scheme": "bearer"}}
    for path, operation in _operations(made):
        needs_token = path not in open_paths
        if needs_token:
            operation["security"] = [{"admin token": []}]
        _tell_problems(operation, needs_token=needs_token)
    return made


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in made["paths"].items():
        for operation in item.values():
            yield path, operation


def _tell_problems(operation: dict[str, Any], *, needs_token: bool) -> None:
    responses = operation["responses"]
    takes_input = "requestBody" in operation or "parameters" in operation
    common = EVERYWHERE | (WITH_TOKEN if needs_token else {}) | (WITH_INPUT if takes_input else {})
    for status, description in common.items():
        responses[status] = {"description": description}
    for status, response in responses.items():
        if status >= "400":
            usual = USUAL.get(status, "")
            given = response.get("description") or usual
            # FastAPI writes the status's reason phrase where a router says nothing.
            is_phrase = usual and given in ("Not Found", "Conflict", "Precondition Failed")
            responses[status] = {"description": usual if is_phrase else given, "content": _CONTENT}
