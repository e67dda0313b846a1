"""Keys, plans and limits on the routes of your own FastAPI app, on the gateway's own buckets.

`install(app, "tidegate.yaml")` opens a gateway with the app; then `Depends(current_caller)` says
who calls, and `@limit("search", cost=5)` below `@app.get(…)` charges the caller's plan. Errors are
the gateway's problems; every answer of a charged request tells the limits, streamed ones and
errors of your own too, and all of them are in the gateway's telemetry. Nothing here decides: the
policies of the gateway do.
"""

from tidegate.fastapi.endpoints import CurrentCaller, current_caller, limit
from tidegate.fastapi.install import install
from tidegate.identity import Caller

__all__ = ["Caller", "CurrentCaller", "current_caller", "install", "limit"]
