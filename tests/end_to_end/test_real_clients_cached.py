"""pip, git, npm and boto3 through a caching, limited route: they get what the service alone gives,
pip and git behind either door.

The services are the real ones too: pypiserver, git's HTTP backend, verdaccio, moto. Clients that
can change something do, so that an answer kept too long would be seen.
"""

import asyncio
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.git_server import git_server
from tests.end_to_end.object_store import (
    CALLS_BEFORE_SIGNATURES_COUNT,
    credentials_of_a_user,
    object_store,
)
from tests.end_to_end.services import asgi_gateway, environment, run, served

KEY = "premium_user"
NPM_INSTALL_S_MAX = 60
VERDACCIO = Path(__file__).parent / "verdaccio"
GATEWAY = """\
version: 1
listen: {host: 127.0.0.1, port: 0}
plans: {clients: {rate: 1000/s, burst: 1000}}
tenants: [{name: acme, plan: clients, keys: [{name: premium_user, value: premium_user}]}]
services:
  - name: test
    targets: ["UPSTREAM"]
    routes:
      - {name: test, cache: {enabled: true, default_ttl: 60s}POLICIES}
"""
# pip has no option for a header of one's own: its user name becomes the key.
KEY_OF_BASIC = """\
import base64


def build():
    async def key_of_basic(request, call_next):
        scheme, _, credentials = (request.headers.get(b"authorization") or b"").partition(b" ")
        if scheme == b"Basic":
            key, _, _ = base64.b64decode(credentials).partition(b":")
            request.headers.remove_all((b"authorization",))
            request.headers.replace(b"x-api-key", key)
        return await call_next(request)

    return key_of_basic
"""


@pytest.fixture(params=["native", "asgi"])
async def door(
    request: pytest.FixtureRequest, running_gateway: Any, short_dir: Path
) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """`port = await door(config)`: a gateway behind one of the two doors."""
    async with AsyncExitStack() as stack:

        async def start(text: str) -> int:
            if request.param == "native":
                port: int = running_gateway(workers=1, config=text).port
                return port
            return await stack.enter_async_context(asgi_gateway(short_dir, text))

        yield start


def config(upstream: str, policies: str = "") -> str:
    return GATEWAY.replace("UPSTREAM", upstream).replace("POLICIES", policies)


async def status_of(url: str, **headers: str) -> str:
    """Return what the gateway's cache says of a GET."""
    async with httpx2.AsyncClient(headers={"X-API-Key": KEY, **headers}) as client:
        answer = await client.get(url)
        assert answer.status_code == 200
        return answer.headers["cache-status"]


def wheel(directory: Path, version: str) -> bytes:
    """Write a wheel of the distribution `tide`; return its bytes."""
    info = f"tide-{version}.dist-info"
    files = {
        "tide.py": f"VERSION = {version!r}\nNOISE = {os.urandom(200_000).hex()!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tide\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)
    path = directory / f"tide-{version}-py3-none-any.whl"
    path.write_bytes(buffer.getvalue())
    return path.read_bytes()


async def test_pip(door: Any, short_dir: Path, free_port: int) -> None:
    packages = short_dir / "packages"
    packages.mkdir()
    sent = wheel(packages, "1.0")
    (short_dir / "key_of_basic.py").write_text(KEY_OF_BASIC)
    policies = ", policies: [{use: key_of_basic.py, before: authenticate}]"
    server = (sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", str(free_port),
              "--disable-fallback", packages)  # fmt: skip
    async with served(free_port, short_dir / "pypi.log", *server) as upstream:
        port = await door(config(upstream, policies))
        url = f"http://{KEY}:@127.0.0.1:{port}/simple/"
        pip = (sys.executable, "-m", "pip", "--no-cache-dir", "-q", "--disable-pip-version-check")
        env = environment(PIP_CONFIG_FILE=os.devnull)
        for place in ("one", "two"):
            await run(*pip, "download", "--no-deps", "--index-url", url, "-d", place, "tide",
                      cwd=short_dir, env=env)  # fmt: skip
            assert (short_dir / place / "tide-1.0-py3-none-any.whl").read_bytes() == sent
        await run(*pip, "install", "--no-deps", "--index-url", url, "-t", "installed", "tide",
                  cwd=short_dir, env=env)  # fmt: skip
        installed = (short_dir / "installed" / "tide.py").read_bytes()
        with zipfile.ZipFile(io.BytesIO(sent)) as archive:
            assert installed == archive.read("tide.py")
        page = f"http://127.0.0.1:{port}/simple/tide/"
        assert "; hit" in await status_of(page)
        file = f"http://127.0.0.1:{port}/packages/tide-1.0-py3-none-any.whl"
        assert "; hit" in await status_of(file)


def objects_of(repository: Path) -> str:
    """Every object of a repository with its type and size: its whole content, named by hash."""
    return subprocess.run(
        ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch-check"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on PATH")
async def test_git(door: Any, short_dir: Path) -> None:
    env = environment(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null",
                      GIT_TERMINAL_PROMPT="0")  # fmt: skip
    as_somebody = ("git", "-c", "user.name=n", "-c", "user.email=e@test")
    (short_dir / "served").mkdir()
    bare = short_dir / "served" / "tide.git"
    await run("git", "init", "-q", "--bare", "-b", "main", bare, cwd=short_dir, env=env)
    await run("git", "config", "http.receivepack", "true", cwd=bare, env=env)
    await run("git", "clone", "-q", bare, "work", cwd=short_dir, env=env)
    work = short_dir / "work"

    async def commit(name: str) -> None:
        (work / name).write_bytes(os.urandom(200_000))
        await run("git", "add", name, cwd=work, env=env)
        await run(*as_somebody, "commit", "-q", "-m", name, cwd=work, env=env)

    await commit("one")
    await run("git", "push", "-q", "origin", "HEAD:main", cwd=work, env=env)
    with git_server(bare.parent) as upstream:
        port = await door(config(upstream))
        url = f"http://127.0.0.1:{port}/tide.git"
        git = ("git", "-c", f"http.extraHeader=X-API-Key: {KEY}")
        for number in range(2):
            place = short_dir / f"clone-{number}"
            await run(*git, "clone", "-q", url, place, cwd=short_dir, env=env)
            assert objects_of(place) == objects_of(bare)
            assert (place / "one").read_bytes() == (work / "one").read_bytes()
        await commit("two")
        await run(*git, "push", "-q", url, "HEAD:main", cwd=work, env=env)
        await run(*git, "pull", "-q", cwd=place, env=env)
        assert objects_of(place) == objects_of(bare)
        assert (place / "two").read_bytes() == (work / "two").read_bytes()


async def test_boto3(running_gateway: Any, short_dir: Path, free_port: int) -> None:
    server = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(free_port))
    checked = {"INITIAL_NO_AUTH_ACTION_COUNT": str(CALLS_BEFORE_SIGNATURES_COUNT)}
    async with served(free_port, short_dir / "moto.log", *server, **checked) as upstream:
        key_id, secret = await asyncio.to_thread(credentials_of_a_user, upstream)
        gateway = running_gateway(workers=1, config=config(upstream))
        url = f"http://127.0.0.1:{gateway.port}"
        await asyncio.to_thread(keep_objects, url, upstream, key_id, secret)


def keep_objects(url: str, upstream: str, key_id: str, secret: str) -> None:
    ours = object_store(url, key_id, secret, KEY)
    direct = object_store(upstream, key_id, secret)
    stranger = object_store(url, key_id, "not-the-secret", KEY)
    sent, shared, changed = (os.urandom(300_000) for _ in range(3))
    ours.create_bucket(Bucket="tide")
    ours.put_object(Bucket="tide", Key="own", Body=sent)
    ours.put_object(Bucket="tide", Key="shared", Body=shared, CacheControl="public, max-age=60")

    def read(client: Any, name: str) -> tuple[bytes, str]:
        answer = client.get_object(Bucket="tide", Key=name)
        fields = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer["Body"].read(), fields.get("cache-status", "")

    for name, content in (("own", sent), ("shared", shared)):
        assert read(direct, name)[0] == content
        assert [read(ours, name)[0] for _ in range(2)] == [content, content]
    # RFC 9111, section 3.5: signed requests carry Authorization, so only `public` is kept.
    assert "; hit" not in read(ours, "own")[1]
    assert "; hit" in read(ours, "shared")[1]
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        read(stranger, "own")
    for client in (ours, direct):
        names = [entry["Key"] for entry in client.list_objects_v2(Bucket="tide")["Contents"]]
        assert names == ["own", "shared"]
    ours.put_object(Bucket="tide", Key="shared", Body=changed, CacheControl="public, max-age=60")
    assert read(ours, "shared")[0] == changed
    ours.delete_object(Bucket="tide", Key="shared")
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(ours, "shared")
    for client in (ours, direct, stranger):
        client.close()


@pytest.fixture(scope="session")
def verdaccio() -> Path:
    """The installed verdaccio; the first run on a machine installs it from the npm registry."""
    program = VERDACCIO / "node_modules" / "verdaccio" / "bin" / "verdaccio"
    if shutil.which("npm") is None:
        pytest.skip("npm is not on PATH")
    if not program.exists():
        try:
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=0"],
                cwd=VERDACCIO, check=True, capture_output=True, timeout=NPM_INSTALL_S_MAX,
            )  # fmt: skip
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.stderr or b"").decode()[-200:]
            pytest.skip(f"verdaccio cannot be installed (npm ci in {VERDACCIO}): {said}")
    return program


VERDACCIO_CONFIG = """\
storage: ./storage
uplinks: {}
packages: {"**": {access: $all, publish: $all}}
log: {type: stdout, level: warn}
web: {enable: false}
"""


async def test_npm(running_gateway: Any, short_dir: Path, free_port: int, verdaccio: Path) -> None:
    (short_dir / "verdaccio.yaml").write_text(VERDACCIO_CONFIG)
    server = ("node", verdaccio, "-c", short_dir / "verdaccio.yaml",
              "-l", f"127.0.0.1:{free_port}")  # fmt: skip
    async with served(free_port, short_dir / "verdaccio.log", *server) as upstream:
        gateway = running_gateway(workers=1, config=config(upstream))
        registry = f"//127.0.0.1:{gateway.port}/"
        npmrc = short_dir / "npmrc"
        # npm sends the token as `Authorization: Bearer`, where the gateway looks for its key.
        npmrc.write_text(f"registry=http:{registry}\n{registry}:_authToken={KEY}\n")
        env = environment(npm_config_userconfig=str(npmrc), npm_config_audit="false",
                          npm_config_fund="false", npm_config_update_notifier="false")  # fmt: skip
        source = short_dir / "tide"
        source.mkdir()
        for version in ("1.0.0", "1.0.1"):
            (source / "package.json").write_text(json.dumps({"name": "tide", "version": version}))
            (source / "noise.txt").write_bytes(base64.b64encode(os.urandom(150_000)))
            await run("npm", "publish", "--loglevel=error", cwd=source, env=env)
            place = short_dir / f"installed-{version}"
            place.mkdir()
            cache = f"--cache={place}/cache"  # npm's own cache would hide the gateway's
            await run("npm", "install", "tide", cache, "--loglevel=error", cwd=place, env=env)
            installed = (place / "node_modules" / "tide" / "noise.txt").read_bytes()
            assert installed == (source / "noise.txt").read_bytes()
            fetched = await tarball(f"http:{registry}tide/-/tide-{version}.tgz", KEY)
            direct = await tarball(f"{upstream}/tide/-/tide-{version}.tgz")
            assert fetched == direct
            # Kept as well: only because a publish makes it invalid is the next version found.
            assert "; hit" in await status_of(f"http:{registry}tide")
        url = f"http:{registry}tide/-/tide-1.0.1.tgz"
        assert "; hit" in await status_of(url)


async def tarball(url: str, key: str | None = None) -> bytes:
    headers = {} if key is None else {"X-API-Key": key}
    async with httpx2.AsyncClient(headers=headers) as client:
        answer = await client.get(url)
        assert answer.status_code == 200
        return answer.content
