import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
import trustme
from aiohttp import web

from berth.core.errors import Transient
from berth.kube.endpoint import Endpoints
from berth.targets.golden import Answer


class Model:
    """A scoring server that answers as it is told, and remembers who asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.callers: set[object] = set()
        self.chunks = [b"[0]"]
        self.said: dict[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.callers.add(request.transport and request.transport.get_extra_info("peername"))
        if request.path == "/moved":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        response = web.StreamResponse(headers=self.said)
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response


@asynccontextmanager
async def asked(model: Model, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoints]:
    application = web.Application()
    application.router.add_route("*", "/{path}", model.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    model.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    endpoints = Endpoints()
    try:
        yield endpoints
    finally:
        await endpoints.close()
        await runner.cleanup()


async def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    model = Model()
    model.chunks = [b"[0, ", b"1, ", b"2]"]
    async with asked(model) as endpoints:
        assert await endpoints.post(f"{model.url}/score", "{}", {}) == Answer(200, "[0, 1, 2]")


async def test_an_endless_answer_is_cut() -> None:
    model = Model()
    model.chunks = [b"x" * 400_000] * 4
    async with asked(model) as endpoints:
        answer = await endpoints.post(f"{model.url}/score", "{}", {})
    assert len(answer.body) == 1_000_000


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    model = Model()
    async with asked(model) as endpoints:
        assert (await endpoints.post(f"{model.url}/moved", "{}", {})).code == 307
    assert model.paths == ["/moved"]


async def test_each_request_opens_a_connection_of_its_own() -> None:
    model = Model()
    async with asked(model) as endpoints:
        for _ in range(3):
            await endpoints.post(f"{model.url}/score", "{}", {})
    assert len(model.callers) == 3


async def test_an_endpoint_that_is_not_there_may_come() -> None:
    model = Model()
    async with asked(model) as endpoints:
        pass
    endpoints = Endpoints()
    with pytest.raises(Transient, match="cannot be reached"):
        await endpoints.post(f"{model.url}/score", "{}", {})
    await endpoints.close()


async def test_a_key_that_no_header_can_hold_is_told() -> None:
    model = Model()
    async with asked(model) as endpoints:
        with pytest.raises(Transient, match="header"):
            await endpoints.post(f"{model.url}/score", "{}", {"Authorization": "Bearer a\nb"})


async def test_what_an_endpoint_says_of_itself_is_in_its_headers() -> None:
    model = Model()
    model.said = {"x-berth-device": "cpu"}
    async with asked(model) as endpoints:
        assert (await endpoints.headers(f"{model.url}/it"))["X-Berth-Device"] == "cpu"
        with pytest.raises(Transient, match="answers 307"):
            await endpoints.headers(f"{model.url}/moved")
        with pytest.raises(Transient, match="cannot be reached"):
            await endpoints.headers("http://127.0.0.1:1/")
    assert model.paths == ["/it", "/moved"]


@pytest.fixture
def certificate() -> trustme.LeafCert:
    """One that names another host, as those of endpoints do that are asked by their number."""
    return trustme.CA().issue_cert("iris.example.org")


def tls_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def digest_of(certificate: trustme.LeafCert) -> bytes:
    return sha256(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())).digest()


async def test_an_endpoint_is_known_by_its_certificate(certificate: trustme.LeafCert) -> None:
    model, digest = Model(), digest_of(certificate)
    async with asked(model, tls_of(certificate)) as endpoints:
        assert await endpoints.is_ready(f"{model.url}/readyz", digest)
        assert await endpoints.post(f"{model.url}/score", "{}", {}, digest) == Answer(200, "[0]")


async def test_an_endpoint_with_another_certificate_hears_no_question(certificate: trustme.LeafCert) -> None:
    model, other = Model(), digest_of(trustme.CA().issue_cert("iris.example.org"))
    async with asked(model, tls_of(certificate)) as endpoints:
        assert not await endpoints.is_ready(f"{model.url}/readyz", other)
        with pytest.raises(Transient, match="cannot be reached"):
            await endpoints.post(f"{model.url}/score", "{}", {"Authorization": "Bearer key"}, other)
    assert model.paths == []


async def test_an_endpoint_whose_certificate_nobody_knows_is_taken_as_it_is(
    certificate: trustme.LeafCert,
) -> None:
    model = Model()
    async with asked(model, tls_of(certificate)) as endpoints:
        assert await endpoints.is_ready(f"{model.url}/readyz")
        assert await endpoints.post(f"{model.url}/score", "{}", {}) == Answer(200, "[0]")
