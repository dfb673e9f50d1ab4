import hashlib
import io
import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_scoring.fetch.archive import UnpackLimits
from berth_scoring.fetch.artifact import Artifact, Fetcher
from berth_scoring.fetch.digest import digest
from berth_scoring.fetch.errors import DigestMismatchError, FetchError
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.storage import Storage
from berth_scoring.fetch.transfer import Patience
from berth_scoring.fetch.uri import file_name, shown


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def serve(server: Any, content: bytes) -> None:
    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    server.answers = [answer]


def tar_bytes(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def config_map_volume(folder: Path, files: dict[str, bytes]) -> Path:
    """Lay the files out as the kubelet does: real files in a dated folder, links in front."""
    dated = folder / "..2026_01_02_03_04_05.678"
    dated.mkdir(parents=True)
    (folder / "..data").symlink_to(dated.name)
    for name, content in files.items():
        (dated / name).write_bytes(content)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., str]:
    def fetch(uri: str, **more: Any) -> str:
        patience = Patience(deadline=5, first_pause=0.01, attempts=2)
        fetcher = Fetcher(
            Downloader(patience), Storage(patience, {}), tmp_path / "app/.fetch", UnpackLimits()
        )
        return fetcher.fetch(Artifact(uri=uri, target=tmp_path / "app/models/iris/3", **more))

    return fetch


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "app/models/iris/3"


def test_a_download_keeps_its_file_name(file_server: Any, fetch: Callable[..., str], target: Path) -> None:
    serve(file_server, b"weights")
    assert fetch(f"{file_server.url}/a/iris%20v3.onnx?sig=x") == sha256(b"weights")
    assert (target / "iris v3.onnx").read_bytes() == b"weights"


def test_an_archive_is_unpacked_and_known_by_the_digest_of_the_archive(
    file_server: Any, fetch: Callable[..., str], target: Path
) -> None:
    packed = tar_bytes({"model/weights.bin": b"w"})
    serve(file_server, packed)
    assert fetch(f"{file_server.url}/iris.tar.gz", sha256=sha256(packed)) == sha256(packed)
    assert (target / "model/weights.bin").read_bytes() == b"w"


def test_a_wrong_digest_is_refused_before_anything_is_unpacked(
    file_server: Any, fetch: Callable[..., str], target: Path
) -> None:
    serve(file_server, b"not even an archive")
    with pytest.raises(DigestMismatchError) as caught:
        fetch(f"{file_server.url}/iris.tar.gz", sha256="0" * 64)
    assert sha256(b"not even an archive") in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert not target.exists()


def test_what_was_fetched_is_not_fetched_again(
    file_server: Any, fetch: Callable[..., str], target: Path
) -> None:
    serve(file_server, b"weights")
    assert fetch(f"{file_server.url}/m.bin") == fetch(f"{file_server.url}/m.bin") == sha256(b"weights")
    assert len(file_server.requests) == 1


def test_a_run_that_was_killed_midway_leaves_nothing_in_the_way(
    file_server: Any, fetch: Callable[..., str], tmp_path: Path, target: Path
) -> None:
    for left in (tmp_path / "app/.fetch/scratch", target):
        left.mkdir(parents=True)
        (left / "download").write_text("half")
    serve(file_server, b"weights")
    fetch(f"{file_server.url}/m.bin")
    assert [path.name for path in target.iterdir()] == ["m.bin"]
    assert not (tmp_path / "app/.fetch/scratch").exists()


def test_an_address_without_a_file_name_is_refused(trusted: None, fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match="does not end in the name of a file"):
        fetch("https://localhost/")


def test_a_scheme_of_later_days_is_refused(fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match="s3://bucket/key: this scheme cannot be fetched yet"):
        fetch("s3://bucket/key")


@pytest.mark.parametrize("code", [403, 404])
def test_a_refused_download_leaves_no_folder(
    file_server: Any, fetch: Callable[..., str], target: Path, code: int
) -> None:
    file_server.answers = [lambda handler: handler.send_error(code)]
    with pytest.raises(FetchError):
        fetch(f"{file_server.url}/m.bin")
    assert not target.exists()


def test_a_full_disk_is_told(file_server: Any, fetch: Callable[..., str], target: Path) -> None:
    serve(file_server, os.urandom(100_000))
    with file_size_limit(10_000), pytest.raises(FetchError, match=r"m.bin: File too large"):
        fetch(f"{file_server.url}/m.bin")
    assert not target.exists()


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_key_of_a_config_map_is_copied(tmp_path: Path, fetch: Callable[..., str], target: Path) -> None:
    volume = config_map_volume(tmp_path / "volume", {"model.joblib": b"m"})
    assert fetch("configmap://iris/model.joblib", source=volume) == sha256(b"m")
    assert (target / "model.joblib").read_bytes() == b"m"
    assert not (target / "model.joblib").is_symlink()


def test_a_whole_config_map_is_copied_without_the_kubelets_own_files(
    tmp_path: Path, fetch: Callable[..., str], target: Path
) -> None:
    volume = config_map_volume(tmp_path / "volume", {"score.py": b"s", "helper.py": b"h"})
    lines = f"helper.py\0{sha256(b'h')}\nscore.py\0{sha256(b's')}\n"
    assert fetch("configmap://iris", source=volume) == sha256(lines.encode())
    assert sorted(path.name for path in target.iterdir()) == ["helper.py", "score.py"]
    assert not any(path.is_symlink() for path in target.iterdir())


def test_an_archive_in_a_config_map_is_unpacked(
    tmp_path: Path, fetch: Callable[..., str], target: Path
) -> None:
    volume = config_map_volume(tmp_path / "volume", {"m.tgz": tar_bytes({"m.bin": b"m"})})
    fetch("configmap://iris/m.tgz", source=volume)
    assert (target / "m.bin").read_bytes() == b"m"


def test_a_key_that_the_config_map_lacks_is_told(tmp_path: Path, fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match=r"configmap://iris/model.joblib: there is nothing at that path"):
        fetch("configmap://iris/model.joblib", source=config_map_volume(tmp_path / "volume", {"other": b""}))


def test_without_a_volume_a_config_map_cannot_be_read(fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match="no volume is mounted"):
        fetch("configmap://iris/model.joblib")


@pytest.mark.parametrize("uri", ["pvc://claim/models/iris", "file://{folder}"])
def test_a_folder_that_lasts_is_linked(
    tmp_path: Path, fetch: Callable[..., str], target: Path, uri: str
) -> None:
    folder = tmp_path / "volume/models/iris"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/m.bin").write_bytes(b"m")
    source = folder if uri.startswith("pvc") else None
    assert fetch(uri.format(folder=folder), source=source) == sha256(f"deep/m.bin\0{sha256(b'm')}\n".encode())
    assert target.resolve() == folder


@pytest.mark.parametrize("uri", ["pvc://claim/models/iris.onnx", "file://{file}"])
def test_a_file_that_lasts_is_linked(
    tmp_path: Path, fetch: Callable[..., str], target: Path, uri: str
) -> None:
    file = tmp_path / "volume/models/iris.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"m")
    source = file if uri.startswith("pvc") else None
    assert fetch(uri.format(file=file), source=source, sha256=sha256(b"m")) == sha256(b"m")
    assert (target / "iris.onnx").readlink() == file


def test_a_path_that_the_image_lacks_is_told(fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match=r"file:///nowhere/m.bin: there is nothing at that path"):
        fetch("file:///nowhere/m.bin")


def secret(folder: Path, **values: str) -> Path:
    folder.mkdir()
    for name, value in values.items():
        (folder / name).write_text(value)
    return folder


@pytest.mark.parametrize(
    ("values", "header"),
    [
        ({"token": "abc\n"}, "Bearer abc"),
        ({"username": "ann", "password": "s:3"}, "Basic YW5uOnM6Mw=="),
        ({"authorization": "Custom x", "token": "abc"}, "Custom x"),
    ],
)
def test_credentials_are_sent(
    file_server: Any, fetch: Callable[..., str], tmp_path: Path, values: dict[str, str], header: str
) -> None:
    serve(file_server, b"weights")
    fetch(f"{file_server.url}/m.bin", credentials_dir=secret(tmp_path / "secret", **values))
    assert file_server.requests[0]["Authorization"] == header


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "none of: authorization, token"),
        ({"username": "ann"}, "none of: authorization, token"),
        ({"token": "t0p\r\nX-Evil: 1"}, "token in the credentials Secret is empty or holds control"),
        ({"token": ""}, "token in the credentials Secret is empty"),
    ],
)
def test_unusable_credentials_are_told_and_not_shown(
    trusted: None, fetch: Callable[..., str], tmp_path: Path, values: dict[str, str], message: str
) -> None:
    with pytest.raises(FetchError, match=message) as caught:
        fetch("https://localhost/m.bin", credentials_dir=secret(tmp_path / "secret", **values))
    assert "t0p" not in str(caught.value)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
USABLE = NAMES.filter(lambda name: name not in {".", ".."} and not name.startswith(".."))


@given(st.dictionaries(USABLE, st.binary(max_size=20), max_size=5))
def test_the_digest_of_a_folder_depends_on_names_and_contents_alone(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folders = [tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")]
    for folder, names in zip(folders, (files, reversed(files)), strict=True):
        for name in names:
            (folder / name).write_bytes(files[name])
    assert digest(folders[0]) == digest(folders[1])
    (folders[1] / "one more").write_bytes(b"")
    assert (digest(folders[0]) == digest(folders[1])) is (files.get("one more") == b"")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://h/a/b.onnx", "b.onnx"),
        ("https://h/a%2Fb/..%2f..%2fetc%2fpasswd", "passwd"),
        ("https://h/a/..", None),
        ("https://h/%00", None),
        ("https://h", None),
        ("configmap://iris/model.joblib", "model.joblib"),
        ("configmap://iris", None),
    ],
)
def test_the_file_name_of_a_uri_is_a_plain_name(uri: str, name: str | None) -> None:
    assert file_name(uri) == name


def test_a_uri_is_shown_without_its_secrets() -> None:
    assert shown("https://ann:pw@h:8443/m.bin?sig=abc#frag") == "https://h:8443/m.bin"
