"""Download from Azure storage by Microsoft's client; only this module and what it imports need the extra."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerClient
from urllib3.exceptions import HTTPError

from berth_scoring.fetch.azure_credentials import Identity, opened, trusted_authorities
from berth_scoring.fetch.azure_errors import error_code, translated
from berth_scoring.fetch.blob_location import BlobLocation
from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.transfer import Part, Transfer

RANGE_BYTES = 4 << 20
"""What is asked for at once, and held in memory; as much is lost when a connection breaks."""
API_VERSION = "2025-11-05"
"""Newer ones bring nothing that is needed here, and not every cloud or emulator knows them."""


class Blobs:
    """The blobs at one location."""

    def __init__(self, location: BlobLocation, credentials_dir: Path | None, transfer: Transfer) -> None:
        self._location = location
        self._transfer = transfer
        credential = transfer.repeat(lambda: opened(location, credentials_dir, *transfer.timeouts()))
        self._container = ContainerClient(
            location.account_url,
            location.container,
            credential,
            api_version=API_VERSION,
            connection_verify=trusted_authorities(),
            max_single_get_size=RANGE_BYTES,
            retry_total=0,
        )
        self._open = ExitStack()
        self._open.callback(self._container.close)
        if isinstance(credential, Identity):
            self._open.callback(credential.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def download(self, target: Path) -> None:
        """Write the blob of that name to the file `target`, or those below it to a folder."""
        if self._location.path and self._transfer.repeat(self._is_file):
            self._write(self._location.path, target)
        else:
            self._write_folder(target)

    def _is_file(self) -> bool:
        with self._told():
            try:
                return not _is_folder(self._properties(self._location.path))
            except ResourceNotFoundError as error:
                if error_code(error) != "BlobNotFound":
                    raise
                return False

    def _write_folder(self, target: Path) -> None:
        prefix = f"{self._location.path}/".lstrip("/")
        names = self._transfer.repeat(lambda: self._names(prefix))
        if not names:
            raise FetchError(
                f"{self._location.shown}: not found: no blob has that name, and none lies below it"
            )
        target.mkdir()
        for name in names:
            path = target / self._relative(name, prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(name, path)

    def _names(self, prefix: str) -> list[str]:
        with self._told():
            found = self._container.list_blobs(prefix, include=["metadata"], **self._timeouts())
            blobs = [blob for blob in found if not _is_folder(blob)]
        # Where an account has real folders, each is listed as an empty blob.
        folders = {str(parent) for blob in blobs for parent in PurePosixPath(blob.name).parents}
        return [blob.name for blob in blobs if blob.size or blob.name.rstrip("/") not in folders]

    def _relative(self, name: str, prefix: str) -> PurePosixPath:
        parts = name.removeprefix(prefix).split("/")
        if any(part in {"", "."} or part.startswith("..") or "\0" in part for part in parts):
            raise FetchError(
                f"{self._location.shown}: the blob {name!r} cannot be kept as a file of that name"
            )
        return PurePosixPath(*parts)

    def _write(self, name: str, target: Path) -> None:
        self._transfer.file(target, lambda part: self._read(name, part))

    def _read(self, name: str, part: Part) -> None:
        with self._told():
            blob = self._properties(name)
        if part.validator != blob.etag:
            part.start_over()
            part.validator = blob.etag
        while part.size < blob.size:
            part.add(self._range(blob, part.size))
            self._transfer.check(part.size)

    def _range(self, blob: BlobProperties, start: int) -> bytes:
        with self._told():
            download = self._container.get_blob_client(blob.name).download_blob(
                offset=start,
                length=min(RANGE_BYTES, blob.size - start),
                etag=blob.etag,
                match_condition=MatchConditions.IfNotModified,
                decompress=False,
                **self._timeouts(),
            )
            content: bytes = download.readall()
        return content

    def _properties(self, name: str) -> BlobProperties:
        return self._container.get_blob_client(name).get_blob_properties(**self._timeouts())

    def _timeouts(self) -> dict[str, Any]:
        connect, read = self._transfer.timeouts()
        return {"connection_timeout": connect, "read_timeout": read}

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (AzureError, HTTPError, OSError) as error:
            raise translated(error, self._location) from error


def _is_folder(blob: BlobProperties) -> bool:
    """Tell whether a blob only stands for a folder, as Hadoop's tools and real folders leave them."""
    is_marked = (blob.metadata or {}).get("hdi_isfolder") == "true"
    return is_marked or (blob.size == 0 and blob.name.endswith("/"))
