"""Models and code from Azure storage, by Microsoft's client from Microsoft's emulator."""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient, ContentSettings
from azurite import ACCOUNT, BrittleLine
from scoring_servers import free_port

from berth_scoring.fetch.digest import digest
from berth_scoring.fetch.errors import DigestMismatchError, FetchError
from berth_scoring.fetch.transfer import Part, Patience

CONTENT = os.urandom(10 << 20)
"""Three ranges."""

Fetch = Callable[..., str]


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def abfss(container: ContainerClient, path: str) -> str:
    return f"abfss://{container.container_name}@{ACCOUNT}.dfs.core.windows.net/{path}"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(("scheme", "service"), [("abfss", "dfs"), ("abfs", "dfs"), ("wasbs", "blob")])
def test_a_blob_keeps_its_name_whatever_the_scheme(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path, scheme: str, service: str
) -> None:
    container.upload_blob("a/iris v3.onnx", b"weights")
    uri = f"{scheme}://{container.container_name}@{ACCOUNT}.{service}.core.windows.net/a/iris%20v3.onnx"
    assert fetch(uri, credentials_dir=with_key) == digest_of(b"weights")
    assert files(target) == {"iris v3.onnx": b"weights"}


def test_a_blob_of_many_ranges_arrives_whole(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    container.upload_blob("m.bin", CONTENT)
    sha256 = digest_of(CONTENT)
    assert fetch(abfss(container, "m.bin"), credentials_dir=with_key, sha256=sha256) == sha256
    assert files(target) == {"m.bin": CONTENT}


def test_an_empty_blob_is_an_empty_file(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    container.upload_blob("empty.txt", b"")
    fetch(abfss(container, "empty.txt"), credentials_dir=with_key)
    assert files(target) == {"empty.txt": b""}


def test_an_archive_is_unpacked_and_known_by_its_own_digest(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("model/weights.bin")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"w"))
    container.upload_blob("iris.tar.gz", packed.getvalue())
    sha256 = digest_of(packed.getvalue())
    assert fetch(abfss(container, "iris.tar.gz"), credentials_dir=with_key, sha256=sha256) == sha256
    assert files(target) == {"model/weights.bin": b"w"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_comes_without_the_blobs_that_only_mark_folders(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path, slash: str
) -> None:
    for name in ("iris", "iris/sub", "iris/left/"):
        container.upload_blob(name, b"", metadata={"hdi_isfolder": "true"} if name == "iris" else None)
    for name in ("iris/weights.bin", "iris/sub/vocab.txt", "iris/empty.txt", "iris-2/other.bin"):
        container.upload_blob(name, b"" if "empty" in name else name.encode())
    sha256 = fetch(abfss(container, f"iris{slash}"), credentials_dir=with_key)
    assert files(target) == {
        "weights.bin": b"iris/weights.bin",
        "sub/vocab.txt": b"iris/sub/vocab.txt",
        "empty.txt": b"",
    }
    assert sha256 == digest(target)


def test_a_wrong_digest_leaves_nothing(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    container.upload_blob("m.bin", b"weights")
    with pytest.raises(DigestMismatchError, match=digest_of(b"weights")):
        fetch(abfss(container, "m.bin"), credentials_dir=with_key, sha256="0" * 64)
    assert not target.exists()


def test_a_compressed_blob_stays_as_it_was_stored(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    container.upload_blob(
        "m.bin", b"\x1f\x8bno gzip", content_settings=ContentSettings(content_encoding="gzip")
    )
    fetch(abfss(container, "m.bin"), credentials_dir=with_key)
    assert files(target) == {"m.bin": b"\x1f\x8bno gzip"}


@pytest.mark.parametrize("path", ["nothing.bin", "nothing/", "iri"])
def test_what_is_not_there_is_told(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path, path: str
) -> None:
    container.upload_blob("iris/m.bin", b"weights")
    with pytest.raises(FetchError, match="not found: no blob has that name, and none lies below it"):
        fetch(abfss(container, path), credentials_dir=with_key)
    assert not target.exists()


@pytest.mark.parametrize("path", ["m.bin", "folder/"])
def test_a_container_that_is_not_there_is_told(fetch: Fetch, with_key: Path, path: str) -> None:
    uri = f"abfss://nowhere@{ACCOUNT}.dfs.core.windows.net/{path}"
    with pytest.raises(FetchError) as caught:
        fetch(uri, credentials_dir=with_key)
    assert str(caught.value) == f"{uri}: not found (404) ContainerNotFound"


def test_a_blob_whose_name_no_file_may_have_is_refused(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path
) -> None:
    container.upload_blob("iris/..hidden/evil", b"x")
    with pytest.raises(FetchError, match="cannot be kept as a file of that name"):
        fetch(abfss(container, "iris/"), credentials_dir=with_key)
    assert not target.exists()


@pytest.mark.parametrize("breaks", [[6 << 20], [5 << 20, 5 << 20, 1000, 5 << 20]])
def test_a_broken_transfer_goes_on_where_it_broke(
    container: ContainerClient,
    fetch: Fetch,
    target: Path,
    with_key: Path,
    line: BrittleLine,
    breaks: list[int],
) -> None:
    container.upload_blob("m.bin", CONTENT)
    line.breaks_after = breaks
    sha256 = fetch(abfss(container, "m.bin"), port=line.port, credentials_dir=with_key)
    assert sha256 == digest_of(CONTENT)
    assert files(target) == {"m.bin": CONTENT}
    assert line.connections > len(breaks)
    assert line.breaks_after == []


def test_a_blob_that_changes_meanwhile_is_taken_anew(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.upload_blob("m.bin", CONTENT)
    add = Part.add

    def add_and_change(part: Part, chunk: bytes) -> None:
        add(part, chunk)
        if chunk == CONTENT[: len(chunk)]:
            container.upload_blob("m.bin", b"version two", overwrite=True)

    monkeypatch.setattr(Part, "add", add_and_change)
    assert fetch(abfss(container, "m.bin"), credentials_dir=with_key) == digest_of(b"version two")
    assert files(target) == {"m.bin": b"version two"}


def test_a_transfer_that_never_goes_on_is_given_up(
    container: ContainerClient, fetch: Fetch, target: Path, with_key: Path, line: BrittleLine
) -> None:
    container.upload_blob("m.bin", CONTENT)
    line.breaks_after = [10_000] * 100
    with pytest.raises(FetchError, match=r"m\.bin: the connection broke: \w+; gave up after 3 attempts"):
        fetch(abfss(container, "m.bin"), port=line.port, credentials_dir=with_key)
    assert not target.exists()


def test_a_server_that_is_not_there_is_told(fetch: Fetch, with_key: Path) -> None:
    with pytest.raises(FetchError, match=r"nothing answers at 127\.0\.0\.1; gave up after 3 attempts"):
        fetch(f"abfss://c@{ACCOUNT}.dfs.core.windows.net/m", port=free_port(), credentials_dir=with_key)


def test_a_server_that_nobody_vouches_for_is_refused_at_once(
    container: ContainerClient, fetch: Fetch, with_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    start = time.monotonic()
    with pytest.raises(FetchError, match="the certificate of the server is not trusted: "):
        fetch(abfss(container, "m.bin"), credentials_dir=with_key)
    assert time.monotonic() - start < 5


def test_the_deadline_ends_a_transfer_between_two_ranges(
    container: ContainerClient, fetch: Fetch, with_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.upload_blob("m.bin", CONTENT)
    add = Part.add

    def add_slowly(part: Part, chunk: bytes) -> None:
        add(part, chunk)
        time.sleep(1.5)

    monkeypatch.setattr(Part, "add", add_slowly)
    with pytest.raises(FetchError, match=r"4194304 bytes have arrived; gave up at the deadline of 1\.5 s"):
        fetch(abfss(container, "m.bin"), credentials_dir=with_key, patience=Patience(deadline=1.5))
