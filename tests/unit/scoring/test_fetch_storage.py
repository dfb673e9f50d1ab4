"""What is known of Azure storage without Azure's libraries, and of their errors without a server."""

import subprocess
import sys
from pathlib import Path

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError

from berth_scoring.fetch.azure_errors import sign_in_error, translated
from berth_scoring.fetch.blob_location import BlobLocation
from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.storage import Storage
from berth_scoring.fetch.transfer import InterruptedDownloadError, Patience

URI = "abfss://models@team.dfs.core.windows.net/iris/3"
LOCATION = BlobLocation.from_uri(URI, {})


@pytest.mark.parametrize(
    ("uri", "account_url", "path"),
    [
        (URI, "https://team.blob.core.windows.net", "iris/3"),
        ("wasbs://models@team.blob.core.windows.net/m", "https://team.blob.core.windows.net", "m"),
        ("abfs://models@team.dfs.core.chinacloudapi.cn/m", "https://team.blob.core.chinacloudapi.cn", "m"),
        ("abfss://models@other.dfs.core.windows.net/a%20b/", "https://127.0.0.1:10000/other", "a b"),
    ],
)
def test_a_uri_names_an_account_a_container_and_a_path(uri: str, account_url: str, path: str) -> None:
    location = BlobLocation.from_uri(uri, {"other": "https://127.0.0.1:10000/other"})
    assert (location.account_url, location.container, location.path) == (account_url, "models", path)
    assert location.shown == uri


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://team.dfs.core.windows.net/m",
        "abfss://models@team/m",
        "abfss://models@evil.example/m",
        "wasbs://Models@team.blob.core.windows.net/m",
        "abfss://models@team.dfs.core.windows.net:443/m",
    ],
)
def test_a_uri_of_another_form_is_refused_with_the_right_one(uri: str) -> None:
    with pytest.raises(FetchError, match=r"is not of the form (abfss|wasbs)://CONTAINER@ACCOUNT\.(dfs|blob)"):
        BlobLocation.from_uri(uri, {})


@pytest.mark.parametrize("end", ["?sv=2025&sig=secret", "#secret"])
def test_a_signature_in_the_uri_is_refused_and_not_shown(end: str) -> None:
    with pytest.raises(FetchError, match="give a SAS token by credentialsSecretRef") as caught:
        BlobLocation.from_uri(URI + end, {})
    assert "secret" not in str(caught.value)


def test_a_password_in_the_uri_is_not_shown() -> None:
    with pytest.raises(FetchError) as caught:
        BlobLocation.from_uri("abfss://models:secret@team.dfs.core.windows.net/m", {})
    assert "secret" not in str(caught.value)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30))
def test_any_uri_is_read_or_refused(text: str) -> None:
    try:
        location = BlobLocation.from_uri(f"abfss://{text}@team.dfs.core.windows.net/m", {})
    except (FetchError, ValueError):
        return
    assert location.container == text.partition("@")[0]


def test_without_azure_s_libraries_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("berth_scoring.fetch.blobs")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    with pytest.raises(FetchError, match=r"lacks azure\.storage\.blob: .* berth-scoring\[azure\]"):
        Storage(Patience(), {}).download(URI, tmp_path / "m", None)


def test_azure_s_libraries_stay_away_until_they_are_needed() -> None:
    probe = "import sys, berth_scoring.fetch.command; print('azure' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


class Answer:
    """What Azure's errors want to know of a response."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.reason = "Because"
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def http_error(status: int, **headers: str) -> HttpResponseError:
    return HttpResponseError("sig=secret", response=Answer(status, **headers))  # type: ignore[arg-type] # all it reads


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    error = translated(http_error(status, Retry_After="7"), LOCATION)
    assert isinstance(error, InterruptedDownloadError)
    assert (str(error), error.pause) == (f"the server answers {status}", 7)


@pytest.mark.parametrize(
    ("status", "words"), [(403, "refuses access"), (404, "not found"), (409, "answers 409")]
)
def test_a_refusal_is_final_and_shows_nothing_of_the_answer(status: int, words: str) -> None:
    error = translated(http_error(status), LOCATION)
    assert isinstance(error, FetchError)
    assert str(error).startswith(f"{URI}: ")
    assert words in str(error)
    assert "secret" not in str(error)


def test_a_connection_that_broke_is_tried_again() -> None:
    error = translated(ServiceResponseError("sig=secret"), LOCATION)
    assert isinstance(error, InterruptedDownloadError)
    assert str(error) == "the connection broke: ServiceResponseError"


def test_a_name_that_no_server_knows_is_told() -> None:
    pool = HTTPSConnectionPool("team.blob.core.windows.net")
    reason = NameResolutionError("team.blob.core.windows.net", HTTPSConnection("team"), OSError("unknown"))
    wrapped = ServiceRequestError("x", error=OSError(MaxRetryError(pool, "/", reason)))
    error = translated(wrapped, LOCATION)
    assert isinstance(error, InterruptedDownloadError)
    assert str(error) == "the name team.blob.core.windows.net cannot be resolved"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("AADSTS7000215: Invalid client secret provided. Trace ID: 1", FetchError),
        ("AADSTS90033: A transient error has occurred.", InterruptedDownloadError),
        ("no response from the IMDS endpoint.", InterruptedDownloadError),
    ],
)
def test_signing_in_is_given_up_where_entra_says_why(text: str, kind: type[Exception]) -> None:
    error = sign_in_error(ClientAuthenticationError(text), LOCATION)
    assert type(error) is kind
    assert str(error).endswith(f"signing in fails: {text.partition(' Trace')[0]}")
