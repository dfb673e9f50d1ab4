"""Where the API server is, and who we are to it: in a pod, or by a kubeconfig."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from importlib.metadata import version

import aiohttp
from kubernetes.client import Configuration
from kubernetes.config import load_incluster_config, load_kube_config

USER_AGENT = f"berth/{version('berth')}"

_TOKEN_AGE = 60.0


class Credentials:
    """Sets the bearer token of each request; as aiohttp's middleware it serves every user of the session.

    `read` may block (a file, a login command): it runs in a thread, at most once in a minute or after a 401.
    """

    def __init__(self, read: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._fresh_until = float("-inf")

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request with the token."""
        if self._clock() >= self._fresh_until:
            await self._refresh()
        if self._token is not None:
            request.headers["Authorization"] = self._token
        response = await handler(request)
        if response.status == 401:  # noqa: PLR2004
            self._fresh_until = float("-inf")
        return response

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() >= self._fresh_until:
                self._token = await asyncio.to_thread(self._read)
                self._fresh_until = self._clock() + _TOKEN_AGE


class Connection:
    """The API server's address, and the pool of connections its sessions share; 0 is no bound."""

    def __init__(self, configuration: Configuration, *, connections: int = 20) -> None:
        self.host = configuration.host.rstrip("/")
        self._connector = aiohttp.TCPConnector(limit=connections, ssl=_ssl_context(configuration))
        self._credentials = Credentials(
            lambda: configuration.get_api_key_with_prefix("BearerToken", "authorization")
        )
        self.session = self.open_session()

    def open_session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Open a session that its user may close without harm to the others."""
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(self._credentials, *middlewares),
        )

    async def close(self) -> None:
        """End all sessions."""
        await self.session.close()
        await self._connector.close()


def load_configuration() -> Configuration:
    """Read the pod's service account or, outside of a pod, the kubeconfig."""
    configuration = Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config(client_configuration=configuration)
    else:
        load_kube_config(client_configuration=configuration)
    return configuration


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
