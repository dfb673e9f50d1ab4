"""Azure storage as an artifact's URI names it, without Azure's libraries: they are an extra."""

from collections.abc import Mapping
from pathlib import Path

from berth_scoring.fetch.blob_location import BlobLocation
from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.transfer import Patience, Transfer

STORAGE_SCHEMES = ("abfs", "abfss", "wasbs")


class Storage:
    """Downloads from Azure storage."""

    def __init__(self, patience: Patience, endpoints: Mapping[str, str]) -> None:
        self._patience = patience
        self._endpoints = endpoints

    def download(self, uri: str, target: Path, credentials_dir: Path | None) -> None:
        """Write the blob to the file `target`, or the blobs below the prefix to a folder of that name."""
        location = BlobLocation.from_uri(uri, self._endpoints)
        transfer = Transfer(self._patience, location.shown)
        try:
            from berth_scoring.fetch.blobs import Blobs  # noqa: PLC0415 - only here Azure's libraries are needed
        except ModuleNotFoundError as error:
            raise FetchError(
                f"{location.shown}: this image cannot read Azure storage, for it lacks {error.name}:"
                " install berth-scoring with the extra azure, berth-scoring[azure]"
            ) from error
        with Blobs(location, credentials_dir, transfer) as blobs:
            blobs.download(target)
