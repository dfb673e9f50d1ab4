"""Where models and code come from: the volumes that hold them, and what the scoring container is told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth.api.source import ModelSource
from berth.api.source import Source as Origin
from berth.api.spec import ModelDeploymentSpec
from berth.api.uri import STORAGE_SCHEMES, split_uri

SOURCES = "/var/berth/sources"
CREDENTIALS = "/var/berth/credentials"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One model, the code or weights, by the name that its volumes carry."""

    slot: str
    origin: Origin

    @property
    def volume(self) -> Json | None:
        """The volume that already holds the content, for the schemes that name an object of the cluster."""
        scheme, name, path = split_uri(self.origin.uri)
        if scheme == "configmap":
            items = {"items": [{"key": path, "path": path}]} if path else {}
            return {"name": self.slot, "configMap": {"name": name, **items}}
        if scheme == "pvc":
            return {"name": self.slot, "persistentVolumeClaim": {"claimName": name}}
        return None

    @property
    def mount(self) -> Json:
        """Where that volume appears in both containers."""
        return {"name": self.slot, "mountPath": f"{SOURCES}/{self.slot}", "readOnly": True}

    @property
    def credentials_volume(self) -> Json | None:
        """The Secret that opens a remote URI."""
        reference = self.origin.credentials_secret_ref
        if reference is None:
            return None
        return {"name": f"credentials-{self.slot}", "secret": {"secretName": reference.name}}

    @property
    def credentials_mount(self) -> Json:
        """Where that Secret appears in the fetch container."""
        return {
            "name": f"credentials-{self.slot}",
            "mountPath": f"{CREDENTIALS}/{self.slot}",
            "readOnly": True,
        }

    @property
    def is_opened_by_identity(self) -> bool:
        """Tell whether it lies in Azure storage, and no Secret opens that."""
        scheme, _, _ = split_uri(self.origin.uri)
        return scheme in STORAGE_SCHEMES and self.origin.credentials_secret_ref is None

    def describe(self) -> Json:
        """Say where the container finds the content, for `BERTH_SCORING_CONFIG`."""
        return {
            "uri": self.origin.uri,
            "source": self._path(),
            "sha256": self.origin.sha256,
            "credentialsDir": self.credentials_mount["mountPath"] if self.credentials_volume else None,
        }

    def _path(self) -> str | None:
        if self.volume is None:
            return None
        scheme, _, path = split_uri(self.origin.uri)
        root = f"{SOURCES}/{self.slot}"
        return f"{root}/{path}" if scheme == "pvc" and path else root


def sources(spec: ModelDeploymentSpec) -> Iterator[Source]:
    """Name every model and the code after its place in the spec."""
    for number, model in enumerate(spec.all_models):
        yield Source(f"model-{number}", model)
    if spec.code is not None:
        yield Source("code", spec.code)


def scoring_config(
    name: str,
    namespace: str,
    spec: ModelDeploymentSpec,
    *,
    keys: str | None,
    server: Json,
    more: Mapping[str, ModelSource] | None = None,
) -> Json:
    """Build what `BERTH_SCORING_CONFIG` holds; `keys` is the folder of the endpoint's keys.

    `more` are models that the place adds, by the names of their volumes, and `server` is what
    else depends on it: the port, and who listens on it.
    """
    described = {source.slot: source for source in sources(spec)}
    return {
        "name": name,
        "namespace": namespace,
        "target": spec.target.value,
        "models": [
            *(_model(described[f"model-{number}"], model) for number, model in enumerate(spec.all_models)),
            *(_model(Source(slot, model), model) for slot, model in (more or {}).items()),
        ],
        "code": None
        if spec.code is None
        else described["code"].describe() | {"scoringScript": spec.code.scoring_script},
        "requests": spec.requests.model_dump(by_alias=True, exclude_defaults=True, mode="json"),
        "keysDir": keys,
        **server,
    }


def _model(source: Source, model: ModelSource) -> Json:
    return source.describe() | {
        "name": model.name,
        "version": model.version,
        "format": model.format.value if model.format else None,
    }
