"""boto3 against moto's server: a store of objects that checks every request's signature."""

import json
from typing import Any

import boto3
from botocore.config import Config

CALLS_BEFORE_SIGNATURES_COUNT = 3
"""To make a user and a key, before anybody has one (INITIAL_NO_AUTH_ACTION_COUNT)."""


def object_store(url: str, key_id: str, secret: str, gateway_key: str | None = None) -> Any:
    """Return an S3 client. The gateway's key is added to the signed request: it never goes on."""
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, proxies={}),
    )
    if gateway_key is not None:

        def add_key(request: Any, **_: Any) -> None:
            request.headers["X-API-Key"] = gateway_key

        client.meta.events.register("before-send.s3", add_key)
    return client


def credentials_of_a_user(url: str) -> tuple[str, str]:
    """Make a user who may do everything: three calls before the server checks signatures."""
    iam = boto3.client(
        "iam",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(proxies={}),
    )
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.create_user(UserName="user")
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName="user")["AccessKey"]
    iam.close()
    return key["AccessKeyId"], key["SecretAccessKey"]
