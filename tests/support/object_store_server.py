"""An object store for the tests."""

import socket
import subprocess
import sys
import time
from contextlib import suppress

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError


@pytest.fixture(scope="session")
def s3():
    """Start an S3 server (moto) with a bucket named labels, and give the storage options for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # In another process, because deltalake holds the interpreter's lock while it waits for an answer.
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    options = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=options["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    for _ in range(100):
        with suppress(EndpointConnectionError):
            client.create_bucket(Bucket="labels")
            break
        time.sleep(0.1)
    yield options
    server.kill()
    server.wait()
