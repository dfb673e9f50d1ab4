"""Requests to a Service or Pod from outside the cluster, through the API server."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError

PATIENCE_SECONDS = 10


@contextmanager
def forwarded(access: Access, namespace: str, target: str, port: int = 80) -> Iterator[str]:
    """Forward a free port of this machine to one of a target, such as `service/iris`, and yield the URL."""
    command = [
        str(access.programs[0]),
        "port-forward",
        f"--namespace={namespace}",
        target,
        f":{port}",
    ]
    environment = {**os.environ, "KUBECONFIG": str(access.kubeconfig)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            local = re.search(r"127\.0\.0\.1:(\d+)", said)
            if not local:
                raise SandboxError(f"kubectl could not forward a port to {target}: {said.strip()}")
            yield f"http://127.0.0.1:{local[1]}"
        finally:
            process.kill()


def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Send a JSON body and return the body of the answer."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        with error:
            raise SandboxError(f"{url} answered {error.code}: {error.read().decode()[:500]}") from None
    except OSError as error:
        raise SandboxError(
            f"{url} could not be asked: {error}. Run this again; it goes on from here."
        ) from None
