import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from deployments import IMAGE, MODEL, NEWER_IMAGE, Spec, aks_specs, spec, subject
from hypothesis import given

from berth.plan import children
from berth.plan.children import PULL_POLICY, SCORING_IMAGE, SERVING, Desired
from berth.plan.resources import DEPLOYMENTS, Resource
from berth.plan.steps import wanted
from berth.plan.subject import Subject

GOLDEN = Path(__file__).parent / "golden"


def deployment(of: Subject, image: children.ScoringImage = IMAGE, before: Desired | None = None) -> Desired:
    return children.deployment(of, image, observed=before.body if before else None)


def template(desired: Desired) -> Any:
    return desired.body["spec"]["template"]


def by_resource(of: Subject) -> dict[Resource, Desired]:
    return {desired.resource: desired for desired in wanted(of, IMAGE, {})}


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("simplest", subject()),
        (
            "autoscaled",
            subject(
                spec(
                    code={"uri": "https://example.org/code.zip", "credentialsSecretRef": {"name": "blob"}},
                    scaling={"minReplicas": 2, "maxReplicas": 8},
                    aks={"expose": {"type": "LoadBalancer", "internal": True}},
                )
            ),
        ),
    ],
)
def test_the_objects_are_those_in_the_golden_file(name: str, of: Subject) -> None:
    """A change of the Pod template restarts every model at the next upgrade: it must be meant."""
    expected = list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()))
    assert [desired.body for desired in wanted(of, IMAGE, {})] == expected


SIMPLEST = deployment(subject())
NOT_SERVING = {
    "labels": subject(labels={"team": "a"}, generation=2),
    "annotations": subject(annotations={"reconcile.berth.dev/requestedAt": "now"}),
    "replicas": subject(spec(scaling={"replicas": 3})),
    "autoscaling": subject(spec(scaling={"maxReplicas": 3})),
    "expose": subject(spec(aks={"expose": {"type": "LoadBalancer", "annotations": {"a": "b"}}})),
    "deadline": subject(spec(aks={"progressDeadlineSeconds": 900})),
    "suspend": subject(spec(suspend=True)),
    "validation": subject(spec(validation={"request": {"body": "{}"}})),
    "a default written out": subject(spec(auth={"mode": "Key"}, aks={}, resources={}, requests={})),
}


@pytest.mark.parametrize("changed", NOT_SERVING.values(), ids=NOT_SERVING)
def test_what_pods_do_not_depend_on_leaves_them_alone(changed: Subject) -> None:
    assert template(deployment(changed, NEWER_IMAGE, SIMPLEST)) == template(SIMPLEST)


SERVING_FIELDS: dict[str, Spec] = {
    "model": spec(model=MODEL | {"version": "4"}),
    "models": spec(model=None, models=[MODEL, MODEL | {"name": "other"}]),
    "code": spec(code={"uri": "configmap://code"}),
    "image": spec(image="registry.test/own:1"),
    "image_server": spec(image="registry.test/own:1", imageServer="Berth"),
    "env": spec(env=[{"name": "A", "value": "b"}]),
    "resources": spec(resources={"limits": {"cpu": "2"}}),
    "requests": spec(requests={"timeoutMilliseconds": 5}),
    "probes": spec(probes={"startup": {"budgetSeconds": 5}}),
    "auth": spec(auth={"mode": "None"}),
    "nodeSelector": spec(aks={"nodeSelector": {"pool": "gpu"}}),
    "tolerations": spec(aks={"tolerations": [{"operator": "Exists"}]}),
    "imagePullSecrets": spec(aks={"imagePullSecrets": [{"name": "registry"}]}),
    "serviceAccountName": spec(aks={"serviceAccountName": "models"}),
}


@pytest.mark.parametrize("changed", SERVING_FIELDS.values(), ids=SERVING_FIELDS)
def test_what_pods_depend_on_rolls_them_out_with_the_newest_image(changed: Spec) -> None:
    rolled = deployment(subject(changed), NEWER_IMAGE, SIMPLEST)
    assert template(rolled)["spec"] != template(SIMPLEST)["spec"]
    assert template(rolled)["spec"]["initContainers"][0]["image"] == NEWER_IMAGE.name
    assert rolled.body["metadata"]["annotations"][SCORING_IMAGE] == NEWER_IMAGE.name


def test_every_serving_field_of_the_spec_is_tried_here() -> None:
    assert set(SERVING_FIELDS) >= children._SERVING_FIELDS


@given(aks_specs())
def test_no_upgrade_of_the_operator_touches_a_deployment(fields: Spec) -> None:
    before = deployment(subject(fields))
    assert deployment(subject(fields), NEWER_IMAGE, before).body == before.body


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(SCORING_IMAGE, "registry.test/evil:1"), (SCORING_IMAGE, ""), (PULL_POLICY, "Never")],
)
def test_what_someone_wrote_into_an_annotation_is_not_believed(annotation: str, value: str) -> None:
    edited = copy.deepcopy(SIMPLEST.body)
    edited["metadata"]["annotations"][annotation] = value
    again = children.deployment(subject(), IMAGE, observed=edited)
    assert again.body == SIMPLEST.body


def test_pods_carry_the_hash_that_their_deployment_does() -> None:
    annotations = SIMPLEST.body["metadata"]["annotations"]
    assert template(SIMPLEST)["metadata"]["annotations"] == {SERVING: annotations[SERVING]}


@given(aks_specs())
def test_every_object_is_owned_labelled_and_hashed(fields: Spec) -> None:
    of = subject(fields)
    for desired in wanted(of, IMAGE, {}):
        metadata = desired.body["metadata"]
        assert metadata["ownerReferences"] == [of.owner_reference]
        assert metadata["labels"]["berth.dev/deployment"] == "iris"
        assert len(desired.applied) == 16
        orjson.dumps(desired.body)


@given(aks_specs())
def test_pods_keep_the_restricted_pod_security_standard(fields: Spec) -> None:
    pod = template(deployment(subject(fields)))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    allowed = {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}


@given(aks_specs())
def test_names_within_a_pod_are_unique(fields: Spec) -> None:
    pod = template(deployment(subject(fields)))["spec"]
    container = pod["containers"][0]
    for named, key in [
        (pod["volumes"], "name"),
        (container["env"], "name"),
        (container["volumeMounts"], "mountPath"),
    ]:
        names = [each[key] for each in named]
        assert len(names) == len(set(names))


@given(aks_specs())
def test_the_autoscaler_alone_decides_on_replicas_where_there_is_one(fields: Spec) -> None:
    of = subject(fields)
    assert ("replicas" in deployment(of).body["spec"]) is not children.is_autoscaled(of)


def test_the_autoscaler_goes_up_at_once_and_down_slowly() -> None:
    scaled = by_resource(
        subject(spec(scaling={"minReplicas": 2, "maxReplicas": 9, "targetUtilizationPercent": 40}))
    )
    body = next(
        desired.body for resource, desired in scaled.items() if resource.kind == "HorizontalPodAutoscaler"
    )
    assert (body["spec"]["minReplicas"], body["spec"]["maxReplicas"]) == (2, 9)
    assert body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 40
    up, down = body["spec"]["behavior"]["scaleUp"], body["spec"]["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] == 0 < down["stabilizationWindowSeconds"]


def test_annotations_of_the_service_cannot_forge_those_of_berth() -> None:
    plain = by_resource(subject())
    forged = by_resource(subject(spec(aks={"expose": {"annotations": {children.APPLIED: "0"}}})))
    service = next(resource for resource in plain if resource.kind == "Service")
    assert forged[service].applied not in ("0", plain[service].applied)


def test_long_names_are_cut_and_stay_apart() -> None:
    one, two = (by_resource(subject(name="m" * 62 + last))[DEPLOYMENTS] for last in "ab")
    secrets = [children.keys_name(subject(name="m" * 62 + last)) for last in "ab"]
    assert one.name != two.name
    assert len(set(secrets)) == 2
    assert all(len(name) <= 63 for name in secrets)
