"""/docs: Swagger UI over /openapi.json.

Its files come from a CDN, and the page takes the admin token, so nothing is left to trust: the
version is pinned, the browser checks each file against its hash (Subresource Integrity), and the
page's policy lets nothing else run and no data leave for anywhere but here. Without the network
the page says where the document is.
"""

import base64
import hashlib
from typing import Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse

_CDN: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
_SCRIPT_HASH: Final = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_STYLE_HASH: Final = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
_START: Final = """
if (window.SwaggerUIBundle) {
  SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true});
}
"""
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Tidegate admin API</title>
<link rel="stylesheet" href="{_CDN}/swagger-ui.css" integrity="{_STYLE_HASH}"
  crossorigin="anonymous">
<div id="page">This page needs scripts from cdn.jsdelivr.net. Without them, read
  <a href="/openapi.json">/openapi.json</a> in a tool of your own.</div>
<script src="{_CDN}/swagger-ui-bundle.js" integrity="{_SCRIPT_HASH}"
  crossorigin="anonymous"></script>
<script>{_START}</script>
</html>
"""
_START_HASH: Final = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_CDN}/ 'sha256-{_START_HASH}'",
        f"style-src {_CDN}/ 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

router = APIRouter()


@router.get("/", include_in_schema=False)
async def start() -> RedirectResponse:
    """Lead whoever opens the address in a browser to the page."""
    return RedirectResponse("/docs")


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})
