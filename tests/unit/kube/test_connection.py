import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kubernetes.client import Configuration
from kubernetes.config.incluster_config import InClusterConfigLoader

from berth.kube.connection import USER_AGENT, Connection, Credentials, load_configuration


class Server:
    """Remembers the headers, and accepts every token but those that were revoked."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.agents: list[str] = []
        self.revoked: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization")
        self.tokens.append(token)
        self.agents.append(request.headers["User-Agent"])
        return web.Response(status=401 if token in self.revoked else 200)


async def serve(server: Server) -> tuple[web.AppRunner, str]:
    application = web.Application()
    application.router.add_get("/", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def ask(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return response.status


async def test_a_token_is_read_once_in_a_minute() -> None:
    clock = {"now": 0.0}
    tokens = iter(["Bearer 1", "Bearer 2", "Bearer 3"])
    server = Server()
    runner, url = await serve(server)
    credentials = Credentials(lambda: next(tokens), lambda: clock["now"])
    async with aiohttp.ClientSession(middlewares=(credentials,)) as session:
        for clock["now"] in (0, 30, 59, 60, 119, 120):
            await ask(session, url)
    await runner.cleanup()
    assert [str(token)[-1] for token in server.tokens] == ["1", "1", "1", "2", "2", "3"]


async def test_a_token_that_was_refused_is_read_again() -> None:
    tokens = iter(["Bearer old", "Bearer new"])
    server = Server()
    server.revoked = {"Bearer old"}
    runner, url = await serve(server)
    async with aiohttp.ClientSession(middlewares=(Credentials(lambda: next(tokens)),)) as session:
        assert [await ask(session, url), await ask(session, url)] == [401, 200]
    await runner.cleanup()


async def test_who_has_no_token_sends_none() -> None:
    server = Server()
    runner, url = await serve(server)
    connection = Connection(Configuration(host=url))
    assert await ask(connection.session, url) == 200
    await connection.close()
    await runner.cleanup()
    assert server.tokens == [None]
    assert server.agents == [USER_AGENT]


async def test_the_projected_token_of_a_pod_is_followed(tmp_path: Path) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    authority.write_text("not read here")
    configuration = Configuration()
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    loader = InClusterConfigLoader(str(token), str(authority), environ=environment)
    loader.load_and_set(configuration)
    server = Server()
    runner, url = await serve(server)
    configuration.ssl_ca_cert = None
    connection = Connection(configuration)
    await ask(connection.session, url)
    await connection.close()
    await runner.cleanup()
    assert server.tokens == ["bearer one"]


async def test_a_session_can_be_closed_without_harm_to_the_others() -> None:
    server = Server()
    runner, url = await serve(server)
    connection = Connection(Configuration(host=url))
    other = connection.open_session()
    await ask(other, url)
    await other.close()
    assert await ask(connection.session, url) == 200
    await connection.close()
    await runner.cleanup()


async def test_middlewares_of_a_session_hear_its_requests_alone() -> None:
    heard: list[str] = []

    async def listen(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        heard.append(request.url.path)
        return await handler(request)

    server = Server()
    runner, url = await serve(server)
    connection = Connection(Configuration(host=url))
    async with connection.open_session(listen) as session:
        await ask(session, url)
        await ask(connection.session, url)
    await connection.close()
    await runner.cleanup()
    assert heard == ["/"]


def test_outside_of_a_pod_the_kubeconfig_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://example.org:6443"}}]
users: [{name: u, user: {token: secret}}]
"""
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    configuration = load_configuration()
    assert configuration.host == "https://example.org:6443"
    assert configuration.get_api_key_with_prefix("BearerToken", "authorization") == "Bearer secret"


async def test_a_token_is_asked_for_once_even_by_many_requests_at_a_time() -> None:
    reads: list[int] = []

    def read() -> str:
        reads.append(1)
        return "Bearer x"

    credentials = Credentials(read)
    await asyncio.gather(*(credentials._refresh() for _ in range(10)))
    assert len(reads) == 1
