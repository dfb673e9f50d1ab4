import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from berth_scoring.fetch.archive import UnpackLimits
from berth_scoring.fetch.artifact import Artifact, Fetcher
from berth_scoring.fetch.cache import Cache
from berth_scoring.fetch.errors import DigestMismatchError, FetchError
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.storage import Storage
from berth_scoring.fetch.transfer import Patience

Fetch = Callable[..., str]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def serve(server: Any, content: bytes | None) -> None:
    """Answer with the content, or as a network that is not there."""

    def answer(handler: Any) -> None:
        if content is None:
            handler.connection.close()
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    server.answers = [answer]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "device/cache"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "app/models/iris/3"


@pytest.fixture
def fetch(tmp_path: Path, kept: Path, target: Path) -> Fetch:
    """Fetch as a container does that was made anew: nothing is left but what the device keeps."""

    def fetch(uri: str, **more: Any) -> str:
        shutil.rmtree(tmp_path / "app", ignore_errors=True)
        patience = Patience(deadline=5, first_pause=0.01, attempts=2)
        cache = Cache(kept)
        fetcher = Fetcher(
            Downloader(patience), Storage(patience, {}), tmp_path / "app/.fetch", UnpackLimits(), cache
        )
        digest = fetcher.fetch(Artifact(uri=uri, target=target, **more))
        cache.prune()
        return digest

    return fetch


def content_of(kept: Path) -> Path:
    (content,) = kept.glob("*/content")
    return content


def test_what_was_fetched_once_is_there_without_a_network(
    file_server: Any, fetch: Fetch, target: Path
) -> None:
    serve(file_server, b"weights")
    uri = f"{file_server.url}/m.onnx"
    assert fetch(uri) == sha256(b"weights")
    serve(file_server, None)
    asked = len(file_server.requests)
    assert fetch(uri) == sha256(b"weights")
    assert (target / "m.onnx").read_bytes() == b"weights"
    assert len(file_server.requests) == asked


def test_an_archive_is_unpacked_from_what_is_kept(file_server: Any, fetch: Fetch, target: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("inner/m.bin")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    serve(file_server, packed.getvalue())
    uri = f"{file_server.url}/m.tar.gz"
    first = fetch(uri)
    serve(file_server, None)
    assert fetch(uri) == first == sha256(packed.getvalue())
    assert (target / "inner/m.bin").read_bytes() == b"abc"


@pytest.mark.parametrize("damage", [b"weighty", b"", None])
def test_what_is_damaged_is_fetched_anew(
    file_server: Any, fetch: Fetch, target: Path, kept: Path, damage: bytes | None
) -> None:
    serve(file_server, b"weights")
    uri = f"{file_server.url}/m.onnx"
    fetch(uri)
    if damage is None:
        content_of(kept).unlink()
    else:
        content_of(kept).write_bytes(damage)
    assert fetch(uri) == sha256(b"weights")
    assert (target / "m.onnx").read_bytes() == b"weights"
    assert len(file_server.requests) == 2


def test_what_is_damaged_is_not_used_where_there_is_no_network(
    file_server: Any, fetch: Fetch, kept: Path
) -> None:
    serve(file_server, b"weights")
    uri = f"{file_server.url}/m.onnx"
    fetch(uri)
    content_of(kept).write_bytes(b"other")
    serve(file_server, None)
    with pytest.raises(FetchError):
        fetch(uri)


def test_a_receipt_that_was_forged_does_not_pass_a_pinned_digest(
    file_server: Any, fetch: Fetch, kept: Path
) -> None:
    serve(file_server, b"weights")
    uri = f"{file_server.url}/m.onnx"
    fetch(uri, sha256=sha256(b"weights"))
    content_of(kept).write_bytes(b"other")
    content_of(kept).with_name("sha256").write_text(sha256(b"other"))
    with pytest.raises(DigestMismatchError):
        fetch(uri, sha256=sha256(b"weights"))


def test_what_is_not_as_pinned_is_not_kept(file_server: Any, fetch: Fetch) -> None:
    serve(file_server, b"wrong")
    uri, pin = f"{file_server.url}/m.onnx", sha256(b"weights")
    with pytest.raises(DigestMismatchError):
        fetch(uri, sha256=pin)
    serve(file_server, b"weights")
    assert fetch(uri, sha256=pin) == pin


def test_a_download_that_was_cut_off_is_begun_anew(file_server: Any, fetch: Fetch, kept: Path) -> None:
    leftover = kept / "incoming"
    leftover.mkdir(parents=True)
    (leftover / "content").write_bytes(b"half")
    serve(file_server, b"weights")
    assert fetch(f"{file_server.url}/m.onnx") == sha256(b"weights")
    assert not leftover.exists()


def test_content_without_a_receipt_is_fetched_anew(file_server: Any, fetch: Fetch, kept: Path) -> None:
    serve(file_server, b"weights")
    uri = f"{file_server.url}/m.onnx"
    fetch(uri)
    content_of(kept).with_name("sha256").unlink()
    fetch(uri)
    assert len(file_server.requests) == 2


def test_a_device_keeps_only_what_it_serves(file_server: Any, fetch: Fetch, kept: Path) -> None:
    for version in range(3):
        serve(file_server, b"weights %d" % version)
        fetch(f"{file_server.url}/m{version}.onnx")
    assert content_of(kept).read_bytes() == b"weights 2"


def test_what_is_at_hand_is_not_kept(fetch: Fetch, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"weights")
    assert fetch(f"file://{tmp_path}/m.bin") == sha256(b"weights")
    assert not kept.exists()


def test_a_folder_that_cannot_be_written_is_told(
    file_server: Any, fetch: Fetch, kept: Path, tmp_path: Path
) -> None:
    serve(file_server, b"weights")
    kept.parent.parent.mkdir(exist_ok=True)
    kept.parent.write_text("a file")
    with pytest.raises(FetchError, match="Not a directory"):
        fetch(f"{file_server.url}/m.onnx")
