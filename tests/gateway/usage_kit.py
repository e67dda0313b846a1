"""A gateway whose callers ask what they have left."""

import json

from tidegate.config import Config

PATH = "/.tidegate/usage"
LIMITS = [
    {"name": "steady", "rate": "10/s", "burst": 20},
    {"name": "monthly", "quota": "1000/month", "per": "tenant"},
]


def config(upstream, plan=None, routes=None, **sections):
    routes = routes or [{"name": "all", "paths": ["/"]}]
    return Config.model_validate(
        {
            "version": 1,
            "plans": {"pro": {"limits": LIMITS, **(plan or {})}},
            "tenants": [
                {"name": "acme", "plan": "pro", "keys": [{"name": "ci", "value": "acme_key"}]},
                {"name": "other", "plan": "pro", "keys": [{"name": "ci", "value": "other_key"}]},
            ],
            "services": [{"name": "s", "targets": [upstream.url], "routes": routes}],
            **sections,
        }
    )


async def usage(kit, key="acme_key", **headers):
    answer = await kit.get(PATH, key=key, headers=headers)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)
