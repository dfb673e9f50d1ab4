"""The Pod template of a scoring Deployment: it depends on serving fields of the spec and on nothing else."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from berth.plan.causes import FETCH_CONTAINER, SCORING_CONTAINER
from berth.plan.labels import child_labels, selector_labels
from berth.plan.placement import Placement
from berth.plan.sources import Source, scoring_config, sources
from berth.plan.subject import Subject

KEYS = "/var/berth/keys"
DRAIN_SECONDS = 5
USER = 65532
CERTIFICATE = "/var/berth/tls"

_WORKLOAD_IDENTITY = "azure.workload.identity/use"
_STARTUP_PERIOD_SECONDS = 1
_LONGEST_VALUE = 32_000
"""In characters, of up to four bytes each: Linux takes no variable beyond 128 KiB."""
_APP = {"name": "app", "mountPath": "/var/azureml-app"}
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - inside the container

Json = dict[str, Any]


def pod_template(
    subject: Subject,
    *,
    image: str,
    pull_policy: str,
    keys_secret: str | None,
    annotations: Mapping[str, str],
) -> Json:
    """Build the template; `image` fetches, and serves unless the spec has its own."""
    spec, placement = subject.spec, subject.placement
    found = [*sources(spec), *(Source(slot, origin) for slot, origin in placement.more.items())]
    return {
        "metadata": {
            "labels": {**child_labels(subject), **placement.labels, **_identity_label(subject, found)},
            "annotations": dict(annotations),
        },
        "spec": _without_empty(
            {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "serviceAccountName": placement.service_account_name,
                "imagePullSecrets": [{"name": reference.name} for reference in placement.image_pull_secrets],
                "nodeSelector": dict(placement.node_selector),
                "tolerations": [_dump(toleration) for toleration in placement.tolerations],
                "topologySpreadConstraints": [_spread(subject)],
                "securityContext": {
                    "runAsNonRoot": True,
                    "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": {"type": "RuntimeDefault"},
                    **_groups(placement),
                },
                "terminationGracePeriodSeconds": grace_seconds(spec.requests.timeout_milliseconds),
                "initContainers": [_fetch_container(subject, found, image, pull_policy)] if found else [],
                "containers": [_scoring_container(subject, found, image, pull_policy, keys_secret)],
                "volumes": _volumes(found, keys_secret, placement.tls_secret),
                **placement.pod,
            }
        ),
    }


def _identity_label(subject: Subject, found: list[Source]) -> dict[str, str]:
    """Ask the cluster for a token of the service account, where that opens a source."""
    by_identity = any(source.is_opened_by_identity for source in found)
    return {_WORKLOAD_IDENTITY: "true"} if by_identity and subject.placement.service_account_name else {}


def _groups(placement: Placement) -> Json:
    groups = list(placement.supplemental_groups)
    return {"supplementalGroups": groups} if groups else {}


def _fetch_container(subject: Subject, found: list[Source], image: str, pull_policy: str) -> Json:
    credentials = [source.credentials_mount for source in found if source.credentials_volume]
    return {
        "name": FETCH_CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": ["fetch"],
        "env": config_variables(subject, keys=None, server=subject.placement.server),
        "resources": _dump(subject.spec.resources),
        "volumeMounts": [_APP, _TMP, *_source_mounts(found), *credentials],
        "securityContext": _security(read_only=True),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _scoring_container(
    subject: Subject, found: list[Source], image: str, pull_policy: str, keys_secret: str | None
) -> Json:
    spec = subject.spec
    mounts = [{"name": "keys", "mountPath": KEYS, "readOnly": True}] if keys_secret else []
    if subject.placement.tls_secret:
        mounts.append({"name": "tls", "mountPath": CERTIFICATE, "readOnly": True})
    return _without_empty(
        {
            "name": SCORING_CONTAINER,
            "image": spec.image or image,
            "imagePullPolicy": None if spec.image else pull_policy,
            "args": [] if spec.has_own_server else ["serve"],
            "ports": [
                {"name": port.name, "containerPort": port.container, "protocol": "TCP"}
                for port in subject.placement.ports
            ],
            "env": [
                *map(_dump, spec.env or ()),
                *own_variables(subject, keys=KEYS if keys_secret else None, server=subject.placement.server),
            ],
            "resources": _resources(subject),
            "volumeMounts": [_APP, _TMP, *_source_mounts(found), *mounts],
            "securityContext": _security(read_only=not spec.has_own_server),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            **_probes(subject),
        }
    )


def own_variables(subject: Subject, *, keys: str | None, server: Json) -> list[Json]:
    """Tell the scoring container how to serve; `keys` is the folder of the endpoint's keys."""
    drain = {"name": "BERTH_DRAIN_SECONDS", "value": str(DRAIN_SECONDS)}
    if not subject.spec.has_own_server:
        return [*config_variables(subject, keys=keys, server=server), drain]
    found = subject.spec.all_models
    folder = f"/{found[0].name}/{found[0].version}" if len(found) == 1 else ""
    model_dir = {"name": "AZUREML_MODEL_DIR", "value": f"/var/azureml-app/azureml-models{folder}"}
    return [*config_variables(subject, keys=keys, server=server), drain, *([model_dir] if found else [])]


def config_variables(subject: Subject, *, keys: str | None, server: Json) -> list[Json]:
    """Tell the container its configuration, in several variables if it is long."""
    metadata = subject.metadata
    config = scoring_config(
        metadata.name,
        metadata.namespace,
        subject.spec,
        keys=keys,
        server=server,
        more=subject.placement.more,
    )
    # Kubernetes would replace $(NAME) and $$ in a value.
    text = orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode().replace("$", r"\u0024")
    return in_pieces(text, _LONGEST_VALUE)


def in_pieces(text: str, longest: int) -> list[Json]:
    """Give a configuration as variables of at most so many characters."""
    pieces = (text[start : start + longest] for start in range(0, len(text), longest))
    return [
        {"name": f"BERTH_SCORING_CONFIG_{number}" if number else "BERTH_SCORING_CONFIG", "value": piece}
        for number, piece in enumerate(pieces)
    ]


def _resources(subject: Subject) -> Json:
    """Give the resources of the spec, and what the place adds: devices, and what those need."""
    resources, added = _dump(subject.spec.resources), subject.placement.resources
    limits = {**resources.get("limits", {}), **added.get("limits", {})}
    return _without_empty({**resources, **added, "limits": limits})


def _probes(subject: Subject) -> Json:
    """Ask Berth's own server apart for life and readiness; another answers as its kind of target does."""
    probes = subject.spec.probes
    alive, ready = _questions(subject)
    return {
        "startupProbe": {
            **ready,
            "periodSeconds": _STARTUP_PERIOD_SECONDS,
            "timeoutSeconds": probes.readiness.timeout_seconds,
            "failureThreshold": math.ceil(probes.startup.budget_seconds / _STARTUP_PERIOD_SECONDS),
        },
        "livenessProbe": {**alive, **_dump(probes.liveness)},
        "readinessProbe": {**ready, **_dump(probes.readiness)},
    }


def _questions(subject: Subject) -> tuple[Json, Json]:
    """Return how to ask whether the server lives, and whether it is ready."""
    placement = subject.placement
    if not subject.spec.has_own_server:
        scheme = {"scheme": "HTTPS"} if placement.is_tls else {}
        alive, ready = ({"path": path, "port": "http", **scheme} for path in ("/livez", "/readyz"))
        return {"httpGet": alive}, {"httpGet": ready}
    if placement.ports[0].name == "grpc":
        asked: Json = {"grpc": {"port": placement.ports[0].container}}
    else:
        asked = {"httpGet": {"path": "/", "port": "http"}}
    return asked, asked


def _security(*, read_only: bool) -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": read_only,
        "capabilities": {"drop": ["ALL"]},
    }


def _volumes(found: list[Source], keys_secret: str | None, tls_secret: str | None) -> list[Json]:
    volumes: list[Json] = [{"name": "app", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    volumes += [volume for source in found if (volume := source.volume)]
    volumes += [volume for source in found if (volume := source.credentials_volume)]
    if keys_secret:
        volumes.append({"name": "keys", "secret": {"secretName": keys_secret}})
    if tls_secret:
        volumes.append({"name": "tls", "secret": {"secretName": tls_secret}})
    return volumes


def _source_mounts(found: list[Source]) -> list[Json]:
    return [source.mount for source in found if source.volume]


def _spread(subject: Subject) -> Json:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector_labels(subject)},
    }


def grace_seconds(timeout_milliseconds: int) -> int:
    """Leave time to drain, to answer the slowest request, and to end."""
    return DRAIN_SECONDS + math.ceil(timeout_milliseconds / 1000) + 5


def _dump(model: Any) -> Json:  # noqa: ANN401 - any part of the spec
    dumped: Json = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, [], {}, "")}
