"""ModelDeployments as the API server returns them, and random specs for the target AKS."""

from typing import Any

from hypothesis import strategies as st

from berth.plan.children import ScoringImage
from berth.plan.subject import Subject

IMAGE = ScoringImage("registry.test/berth-scoring:1", "IfNotPresent")
NEWER_IMAGE = ScoringImage("registry.test/berth-scoring:2", "Always")
CREATED = "2026-11-01T12:00:00Z"
MODEL = {"name": "iris", "version": "3", "uri": "configmap://iris/model.onnx", "format": "onnx"}

Spec = dict[str, Any]


def spec(**fields: Any) -> Spec:
    """Give the simplest spec with the given fields, by their names in a manifest; None takes one away."""
    merged = {"target": "AKS", "model": MODEL} | fields
    return {name: value for name, value in merged.items() if value is not None}


def subject(fields: Spec | None = None, *, status: Any = None, **metadata: Any) -> Subject:
    """Give a ModelDeployment named demo/iris with this spec, and metadata by its names in a manifest."""
    told = {
        "name": "iris",
        "namespace": "demo",
        "uid": "uid-1",
        "generation": 1,
        "creationTimestamp": CREATED,
    }
    body = {"metadata": told | metadata, "spec": fields or spec()}
    return Subject.model_validate(body | ({"status": status} if status else {}))


# An autoscaler in front of one replica: Deployment, Service and HorizontalPodAutoscaler.
SERVED = spec(auth={"mode": "None"}, scaling={"maxReplicas": 3}, model=MODEL | {"sha256": "0a" * 32})

_names = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
_labels = st.dictionaries(_names, _names, max_size=3)
_digests = st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
_quantities = st.sampled_from(["100m", "2", "0.5", "1e1", "500M", "2Gi", "1.5Gi", "3000000u"])
_seconds = st.integers(1, 500)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give objects in which each field may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


_local_uris = st.one_of(
    st.builds("configmap://{}".format, _names),
    st.builds("configmap://{}/{}".format, _names, _names),
    st.builds("pvc://{}/{}".format, _names, _names),
    st.builds("file:///{}".format, _names),
)
_remote_uris = st.builds("https://{}.test/{}".format, _names, _names)


def _sources(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    local = st.fixed_dictionaries({"uri": _local_uris, "sha256": _digests, **fields})
    remote = st.fixed_dictionaries(
        {"uri": _remote_uris, "sha256": _digests, **fields},
        optional={"credentialsSecretRef": st.fixed_dictionaries({"name": _names})},
    )
    return local | remote


_models = _sources({"name": _names, "version": _names, "format": st.sampled_from(["sklearn", "onnx"])})
_codes = _sources({"scoringScript": st.sampled_from(["score.py", "src/score.py"])})
_selected = st.fixed_dictionaries({"name": _names, "key": _names})
_variables = st.fixed_dictionaries({"name": _names}, optional={"value": st.text(max_size=5)}) | (
    st.fixed_dictionaries(
        {
            "name": _names,
            "valueFrom": st.one_of(
                st.fixed_dictionaries({"secretKeyRef": _selected}),
                st.fixed_dictionaries({"configMapKeyRef": _selected}),
                st.fixed_dictionaries({"fieldRef": st.just({"fieldPath": "metadata.name"})}),
            ),
        }
    )
)
_tolerations = st.fixed_dictionaries(
    {"key": _names, "operator": st.just("Exists"), "effect": st.just("NoExecute")},
    optional={"tolerationSeconds": st.integers(0, 10)},
)
_scalings = st.one_of(
    st.fixed_dictionaries({"replicas": st.integers(0, 5)}),
    st.fixed_dictionaries({"minReplicas": st.integers(1, 5), "maxReplicas": st.integers(5, 9)}),
)
_probes = _some(
    startup=st.fixed_dictionaries({"budgetSeconds": _seconds}),
    liveness=_some(initialDelaySeconds=st.integers(0, 9), periodSeconds=_seconds),
    readiness=_some(timeoutSeconds=_seconds, failureThreshold=st.integers(1, 9)),
)
_aks = _some(
    expose=_some(type=st.sampled_from(["ClusterIP", "LoadBalancer"]), annotations=_labels),
    nodeSelector=_labels,
    tolerations=st.lists(_tolerations, max_size=2),
    imagePullSecrets=st.lists(
        st.fixed_dictionaries({"name": _names}), max_size=2, unique_by=lambda x: x["name"]
    ),
    serviceAccountName=_names,
    progressDeadlineSeconds=st.integers(501, 900),
)
_served = st.one_of(
    st.fixed_dictionaries({"model": _models}, optional={"code": _codes}),
    st.fixed_dictionaries(
        {"models": st.lists(_models, min_size=1, max_size=3, unique_by=lambda x: x["name"])}
    ),
    st.fixed_dictionaries(
        {"image": st.just("registry.test/own:1")},
        optional={"model": _models, "imageServer": st.sampled_from(["Own", "Berth"])},
    ),
)
_settings = _some(
    env=st.lists(_variables, max_size=3, unique_by=lambda variable: variable["name"]),
    resources=_some(
        requests=_some(cpu=_quantities, memory=_quantities),
        limits=st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), _quantities),
    ),
    scaling=_scalings,
    requests=_some(
        timeoutMilliseconds=st.integers(1, 90_000),
        maxConcurrentPerReplica=st.integers(1, 9),
        maxQueueWaitMilliseconds=st.integers(0, 900),
    ),
    probes=_probes,
    auth=st.fixed_dictionaries({"mode": st.sampled_from(["Key", "None"])}),
    validation=st.just({"request": {"body": "{}"}}),
    aks=_aks,
)


@st.composite
def aks_specs(draw: st.DrawFn) -> Spec:
    """Give a valid spec for the target AKS."""
    fields = {"target": "AKS", **draw(_served), **draw(_settings)}
    if "image" in fields and fields.get("imageServer") != "Berth":
        fields = {name: value for name, value in fields.items() if name not in ("requests", "auth")}
    return fields
