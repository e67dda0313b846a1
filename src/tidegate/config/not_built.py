"""What later versions will have: named here so that it is refused by name, never ignored.

An entry leaves this table in the commit that builds it. Places are written as the schema has
them: `services[].routes[]`, `plans.*`; `limits[]` is any list of limits, `*` every field. What is
in the schema already is refused here for as long as only the schema has it.
"""

from typing import Final


def _sets(names: dict[str, str]) -> dict[str, frozenset[str]]:
    return {place: frozenset(text.split()) for place, text in names.items()}


FIELDS: Final = _sets(
    {
        "": (
            "auth cors fleet history include ip_rules jwt logging "
            "metrics openapi policies revisions telemetry tls tracing"
        ),
        "listen": "http2 http3 proxy_protocol tls unix websocket",
        "admin": "auth dashboard login oidc roles tls token users",
        "redis": "ca_file",
        "plans.*": "charge deny ip_rules price queue services",
        "limits[]": "charge match queue",
        "tenants[]": "allow cors expires ip_rules jwt metadata",
        "tenants[].keys[]": ("allow created expires expires_at hash ip_rules metadata plan scopes"),
        "services[]": (
            "auth balance balancer breaker circuit_breaker compression cors discovery health "
            "health_check http2 protocol retries retry weights"
        ),
        "services[].tls": "cert_file client_certificate key_file server_name",
        "services[].routes[]": (
            "allow charge circuit_breaker compression cors headers ip_rules mirror "
            "openapi redirect request_headers response_headers "
            "retries retry rewrite scopes split transform validate "
            "websocket"
        ),
        "services[].routes[].cache": (
            "charge key max_bytes methods stale_if_error stale_while_revalidate status tags vary"
        ),
    }
)

VALUES: Final = _sets(
    {
        "services[].routes[].auth[]": "basic hmac jwt mtls oauth2 oidc session",
        "limits[].per": "region service",
    }
)

TARGET_SCHEMES: Final = frozenset(
    ("fcgi", "grpc", "grpcs", "h2", "h2c", "http+unix", "srv", "unix", "ws", "wss")
)


def words(what: str) -> str:
    return f"{what} is not built yet in this version"
