"""An object store for the tests: moto's, or with AIOP_S3=http://HOST:PORT any other server.

For another server, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed, and no bucket may have the name `labels`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError


@pytest.fixture(scope="session")
def s3():
    """Make a bucket named labels, give the storage options for it, and delete it at the end."""
    given = os.environ.get("AIOP_S3")
    with nullcontext(_options_of(given)) if given else _moto() as options:
        client = boto3.client(
            "s3",
            endpoint_url=options["AWS_ENDPOINT_URL"],
            aws_access_key_id=options["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=options["AWS_SECRET_ACCESS_KEY"],
            region_name=options["AWS_REGION"],
        )
        for _ in range(100):
            with suppress(EndpointConnectionError):
                _make_bucket(client)
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"no server answers at {options['AWS_ENDPOINT_URL']}")
        yield options
        if given:
            _delete_bucket(client)


@contextmanager
def _moto() -> Iterator[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # In another process, because deltalake holds the interpreter's lock while it waits for an answer.
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield _options(f"http://127.0.0.1:{port}")
    server.kill()
    server.wait()


def _options(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


def _options_of(given: str) -> dict[str, str]:
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return _options(given) | keys


def _make_bucket(client) -> None:
    """Make the bucket, which must be new, because it is deleted at the end."""
    if any(bucket["Name"] == "labels" for bucket in client.list_buckets()["Buckets"]):
        pytest.exit("the S3 server has a bucket named labels already: delete it, or use another server", 2)
    client.create_bucket(Bucket="labels")


def _delete_bucket(client) -> None:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="labels"):
        for found in page.get("Contents", []):
            client.delete_object(Bucket="labels", Key=found["Key"])
    client.delete_bucket(Bucket="labels")
