"""Files under names that are not Azure's."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.server import served

HOST = {"Host": "example.org"}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "site" / "models").mkdir(parents=True)
    (tmp_path / "site" / "models" / "iris.onnx").write_bytes(b"\x08")
    (tmp_path / "secret").write_text("not a part of it")
    azure = Azure()
    configure(azure, {"websites": {"example.org": str(tmp_path / "site")}})
    async with served(azure, tmp_path / "authority") as endpoint:
        yield endpoint.plain_url


async def status(url: str, path: str, headers: dict[str, str]) -> int:
    asked = URL(f"{url}{path}", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(asked, headers=headers) as answer:
        return answer.status


async def test_a_file_is_to_be_had_under_the_name_of_its_host(url: str) -> None:
    asked = f"{url}/models/iris.onnx"
    async with aiohttp.ClientSession() as session, session.get(asked, headers=HOST) as answer:
        assert (answer.status, await answer.read()) == (200, b"\x08")


@pytest.mark.parametrize(
    "path", ["/models/another.onnx", "/models", "/%2e%2e/secret", "/models/..%2f..%2fsecret"]
)
async def test_there_is_nothing_else(url: str, path: str) -> None:
    assert await status(url, path, HOST) in {403, 404}


async def test_under_other_names_it_is_azure_that_answers(url: str) -> None:
    assert await status(url, "/models/iris.onnx", {}) == 401
