from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from scoring_servers import berth_server, peer_python, peer_server

SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_MILLISECONDS = 700
ORIGINS = {"AML_CORS_ORIGINS": "https://one.example, https://two.example"}
SERVICE = {
    "SERVICE_NAME": "iris",
    "SERVICE_PATH_PREFIX": "api/v1/service/iris",
    "SERVICE_VERSION": "7.0",
}


@dataclass(frozen=True)
class Servers:
    """Both servers with the same script."""

    ours: int
    peer: int


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Servers]]:
    """Start both servers with a script on first use."""
    python = peer_python()
    started: dict[str, Servers] = {}

    with ExitStack() as stack:

        def start(script: str) -> Servers:
            if script not in started:
                code, work = SCRIPTS / script, tmp_path_factory.mktemp(script)
                variables = SERVICE | (ORIGINS if script == "cors" else {})
                timeout = {"SCORING_TIMEOUT_MS": str(TIMEOUT_MILLISECONDS)}
                config = {
                    "code": {"uri": f"file://{code}"},
                    "requests": {"timeoutMilliseconds": TIMEOUT_MILLISECONDS},
                }
                started[script] = Servers(
                    ours=stack.enter_context(berth_server(config, work, variables=variables)),
                    peer=stack.enter_context(peer_server(python, code, work, variables=variables | timeout)),
                )
            return started[script]

        yield start
