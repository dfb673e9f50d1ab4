import socket

import pytest

from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import post


def test_a_service_that_cannot_be_reached_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SandboxError, match=f"{port}/score could not be asked: .*refused.* Run this again"):
        post(f"http://127.0.0.1:{port}/score", {}, {})
