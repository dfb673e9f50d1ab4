import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from berth.telemetry import logs

logger = logging.getLogger("berth.test")


@pytest.fixture
def lines() -> Iterator[Any]:
    """Log to memory; call it for what was logged so far."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    stream = io.StringIO()
    logs.configure("info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before[1]
    root.setLevel(before[0])


def test_a_line_is_json_with_time_level_and_logger(lines: Any) -> None:
    logger.info("Watching %s", "pods")
    [line] = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "berth.test", "message": "Watching pods"}


def test_the_object_is_named_within_its_block_and_not_after(lines: Any) -> None:
    with logs.about("demo", "iris", "uid-1"):
        logger.info("inside")
    logger.info("outside")
    inside, outside = lines()
    assert (inside["namespace"], inside["name"], inside["uid"]) == ("demo", "iris", "uid-1")
    assert "name" not in outside


def test_a_line_can_name_an_object_of_its_own(lines: Any) -> None:
    about = {"namespace": "demo", "name": "other", "uid": "uid-2"}
    with logs.about("demo", "iris", "uid-1"):
        logger.info("inside", extra={"about": about})
    [line] = lines()
    assert line.items() >= about.items()
    assert "about" not in line


async def test_passes_that_run_at_once_do_not_mix_their_objects(lines: Any) -> None:
    async def work(name: str) -> None:
        with logs.about("demo", name, f"uid-{name}"):
            await asyncio.sleep(0.01)
            logger.info(name)

    await asyncio.gather(*(work(name) for name in "abc"))
    assert all(line["message"] == line["name"] for line in lines())
    assert len(lines()) == 3


def test_extra_fields_and_exceptions_are_kept(lines: Any) -> None:
    try:
        int("broken")
    except ValueError:
        logger.exception("It failed", extra={"key": "demo/iris"})
    [line] = lines()
    assert line["key"] == "demo/iris"
    assert "ValueError: invalid literal" in line["exception"]


def test_what_json_does_not_know_is_written_as_text(lines: Any) -> None:
    logger.info("x", extra={"path": {1, 2}.__class__})
    assert lines()[0]["path"] == "<class 'set'>"


@pytest.mark.parametrize("library", ["kopf", "kopf.objects", "aiohttp.access", "kubernetes"])
def test_libraries_speak_up_for_warnings_only(lines: Any, library: str) -> None:
    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("trouble")
    assert [line["message"] for line in lines()] == ["trouble"]


def test_the_level_is_respected(lines: Any) -> None:
    logger.debug("detail")
    assert lines() == []
