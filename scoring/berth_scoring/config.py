"""What the operator tells the scoring container: one JSON object in `BERTH_SCORING_CONFIG`.

A long one is cut into pieces, since Linux takes no variable beyond 128 KiB: `BERTH_SCORING_CONFIG_1` goes on
where `BERTH_SCORING_CONFIG` ends, and so on.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from berth_scoring.fpga.options import PipelineOptions
from berth_scoring.reading import ConfigError, arguments, as_paths, camel

N = TypeVar("N", int, float)

CONFIG_VARIABLE = "BERTH_SCORING_CONFIG"
LONGEST_VALUE = 32_000
"""In characters, of up to four bytes each: Linux takes no variable beyond 128 KiB."""
ENDPOINT_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
ENDPOINT = re.compile(r"https?://[^\s?#@]+")
NUMBERS: Mapping[type, str] = {int: "a whole number", float: "a number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """One model: where its bytes come from, and what is known of them."""

    name: str
    version: str
    uri: str
    source: Path | None = None
    """Where a Kubernetes volume already holds the content; none for https and file."""
    sha256: str | None = None
    format: str | None = None
    credentials_dir: Path | None = None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read one entry of `models`."""
        values = arguments(cls, data)
        return cls(**as_paths(values, "source", "credentials_dir"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    """The folder of the scoring script."""

    uri: str
    source: Path | None = None
    sha256: str | None = None
    credentials_dir: Path | None = None
    scoring_script: str = "score.py"

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `code`."""
        values = arguments(cls, data)
        return cls(**as_paths(values, "source", "credentials_dir"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of one replica; times are in milliseconds."""

    timeout_milliseconds: int = 60_000
    max_concurrent_per_replica: int = 1
    max_queue_wait_milliseconds: int = 500

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `requests`; every limit is a whole number, and only the wait may be 0."""
        values = arguments(cls, data)
        for name, value in values.items():
            least = 0 if name == "max_queue_wait_milliseconds" else 1
            if type(value) is not int or value < least:
                told = f"requests.{camel(name)} must be a whole number of at least {least}, not {value!r}"
                raise ConfigError(told)
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSource:
    """Where the certificate of the server is; one of the two is given."""

    dir: Path | None = None
    """A folder with the files `tls.crt` and `tls.key`, as a Secret of the type kubernetes.io/tls has them."""
    self_signed_for: tuple[str, ...] = ()
    """Names and addresses for a certificate that the server makes for itself: for development only."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `tls`."""
        values = as_paths(arguments(cls, data), "dir")
        names = values.get("self_signed_for") or []
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ConfigError(f"tls.selfSignedFor must be a list of names, not {names!r}")
        if bool(values.get("dir")) == bool(names):
            raise ConfigError("tls must have either dir or selfSignedFor")
        return cls(**values | {"self_signed_for": tuple(names)})


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """What the container does as an IoT Edge module, beside HTTP; with the names of Azure ML's modules."""

    input: str = "amlInput"
    """Where messages come from: each is answered as a request to `/score` is."""
    output: str = "amlOutput"
    """Where answers go, with the property `AzureMLResponse`: `OK` or what went wrong."""
    cache_dir: Path | None = None
    """A folder on the device that keeps models and code, so that a start without a network works."""
    report_seconds: int = 300
    """How often the counts in the module's twin may change; model and health are reported at once."""
    token_seconds: int = 3600
    """For how long a token of the module is good; it is renewed before."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `edge`."""
        values = as_paths(arguments(cls, data), "cache_dir")
        for name in {"input", "output"} & set(values):
            if not isinstance(values[name], str) or not ENDPOINT_NAME.fullmatch(values[name]):
                raise ConfigError(f"edge.{name} must be a name of letters, digits, '.', '_' and '-'")
        for name in {"report_seconds", "token_seconds"} & set(values):
            if type(values[name]) is not int or values[name] < 1:
                raise ConfigError(f"edge.{camel(name)} must be a whole number of at least 1")
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringConfig:
    """The whole configuration, the same for `berth-scoring fetch` and `berth-scoring serve`."""

    name: str
    namespace: str = "default"
    target: str = "AKS"
    models: tuple[ModelSource, ...] = ()
    code: CodeSource | None = None
    port: int = 5001
    user: int | None = None
    """Uid and gid to go on with where the process begins as root; none changes nothing."""
    requests: RequestLimits = field(default_factory=RequestLimits)
    keys_dir: Path | None = None
    """A folder with the files `primaryKey` and `secondaryKey`; none leaves the routes open."""
    tls: TlsSource | None = None
    """What `port` speaks HTTPS with; none leaves it HTTP."""
    edge: EdgeOptions | None = None
    """Messages of IoT Edge; none leaves it at HTTP."""
    pipeline: PipelineOptions | None = None
    """A featurizer and a classifier on a device; none leaves each model on its own."""
    storage_endpoints: Mapping[str, str] = field(default_factory=dict)
    """Blob service URLs of Azure storage accounts whose URL does not follow from their host name."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the object; a key that is unknown here is an error, so that nothing is silently ignored."""
        values = as_paths(arguments(cls, data), "keys_dir")
        values["models"] = tuple(ModelSource.from_json(model) for model in values.get("models", ()))
        if values.get("code") is not None:
            values["code"] = CodeSource.from_json(values["code"])
        if values.get("tls") is not None:
            values["tls"] = TlsSource.from_json(values["tls"])
        if values.get("edge") is not None:
            values["edge"] = EdgeOptions.from_json(values["edge"])
        if values.get("pipeline") is not None:
            names = {model.name for model in values["models"]}
            values["pipeline"] = PipelineOptions.from_json(values["pipeline"], names)
        values["requests"] = RequestLimits.from_json(values.get("requests", {}))
        values["user"] = _user(values.get("user"))
        values["storage_endpoints"] = _endpoints(values.get("storage_endpoints"))
        return cls(**values)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the object from `BERTH_SCORING_CONFIG` and the variables that it goes on in."""
        text = config_text(environment)
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{CONFIG_VARIABLE} is not JSON: {error}") from error
        return cls.from_json(data)

    def folders(self) -> Iterator[Path]:
        """Yield the folders that volumes bring."""
        parts: list[ModelSource | CodeSource] = [*self.models, *([self.code] if self.code else [])]
        found = [self.keys_dir, self.tls.dir if self.tls else None]
        for part in parts:
            found += [part.source, part.credentials_dir]
        yield from filter(None, found)


def config_text(environment: Mapping[str, str]) -> str:
    """Join `BERTH_SCORING_CONFIG` and the variables that it goes on in."""
    text = environment.get(CONFIG_VARIABLE)
    if text is None:
        raise ConfigError(f"{CONFIG_VARIABLE} is not set: it holds the configuration as a JSON object")
    pieces = [text]
    while (piece := environment.get(f"{CONFIG_VARIABLE}_{len(pieces)}")) is not None:
        pieces.append(piece)
    return "".join(pieces)


def config_variables(text: str) -> dict[str, str]:
    """Cut the text into `BERTH_SCORING_CONFIG` and the variables that it goes on in."""
    starts = range(0, len(text), LONGEST_VALUE)
    pieces = {
        f"{CONFIG_VARIABLE}_{number}": text[start : start + LONGEST_VALUE]
        for number, start in enumerate(starts)
    }
    return {CONFIG_VARIABLE: pieces.pop(f"{CONFIG_VARIABLE}_0"), **pieces}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the two containers of a pod find models, code and the termination log."""

    root: Path = Path("/var/azureml-app")
    termination_log: Path = Path("/dev/termination-log")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read `BERTH_APP_ROOT` and `BERTH_TERMINATION_LOG`, which tests and local runs set."""
        return cls(
            root=Path(environment.get("BERTH_APP_ROOT", "/var/azureml-app")),
            termination_log=Path(environment.get("BERTH_TERMINATION_LOG", "/dev/termination-log")),
        )

    @property
    def models(self) -> Path:
        """The parent folder of all models."""
        return self.root / "azureml-models"

    @property
    def code(self) -> Path:
        """The folder of the scoring script."""
        return self.root / "code"

    @property
    def fetched(self) -> Path:
        """The file with the digests of what was fetched."""
        return self.root / "fetched.json"

    def model(self, model: ModelSource) -> Path:
        """Return the folder that holds the files of one model."""
        return self.models / model.name / model.version

    def model_dir(self, models: tuple[ModelSource, ...]) -> Path:
        """Return `AZUREML_MODEL_DIR`: the folder of the only model, or the parent of several."""
        return self.model(models[0]) if len(models) == 1 else self.models


def read_number(environment: Mapping[str, str], name: str, default: N, *, least: int) -> N:
    """Read a variable that holds a number; it is whole where the default is."""
    kind = type(default)
    with contextlib.suppress(ValueError):
        value = kind(environment.get(name, default))
        if least <= value < math.inf:
            return value
    raise ConfigError(f"{name} must be {NUMBERS[kind]} of at least {least}, not {environment.get(name)!r}")


def _user(data: object) -> int | None:
    match data:
        case None:
            return None
        case int() if data > 0 and type(data) is int:
            return data
    raise ConfigError(f"user must be a whole number above 0, not {data!r}")


def _endpoints(data: object) -> Mapping[str, str]:
    match data:
        case None:
            return {}
        case dict() if all(isinstance(url, str) and ENDPOINT.fullmatch(url) for url in data.values()):
            return data
    # What stands there instead is not shown: it could be a signature.
    raise ConfigError("storageEndpoints must map each account to an http(s) URL without a query")
