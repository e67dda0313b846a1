"""Tidegate beside its peers: the same job, the same store, the same upstream, the same minute.

`make bench` (or `python -m bench`) runs our two doors, nginx + Lua + Redis and FastAPI + httpx +
redis-py in interleaved rounds and prints what a request costs in each. The job: look up a key,
take one token from an exact bucket in Redis, proxy about 200 bytes of JSON.
"""
