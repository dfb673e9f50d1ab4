"""ModelDeployments for devices, what they are made from, and deployments as a hub shows them."""

from datetime import UTC, datetime
from typing import Any

from deployments import MODEL, subject

from berth.api.iot_hub import IotEdgePlace
from berth.plan.edge_deployment import Desired, Recipe, desired_deployment
from berth.plan.edge_rollout import Create, Update, document
from berth.plan.group_content import Content

KEY = b"0123456789abcdef"
CLUSTER = "cccccccc-0000-0000-0000-000000000000"
IMAGE = "registry.test/berth-scoring:1"
NEWER_IMAGE = "registry.test/berth-scoring:2"
SITE = "tags.site='plant-1'"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTENT = Content(
    secrets={
        "settings": {"api-key": b"api-secret"},
        "pull": {
            ".dockerconfigjson": b'{"auths":{"registry.test":{"username":"me","password":"pull-secret"}}}'
        },
    },
    operator_secrets={"registry": {"username": b"shared", "password": b"registry-secret\n"}},
)
REGISTRIES = {"registries": [{"server": "team.azurecr.io", "secretRef": {"name": "registry"}}]}
ROUTES = [
    {
        "name": "camera",
        "from": "/messages/modules/camera/outputs/frames",
        "where": "size > 3",
        "into": 'BrokeredEndpoint("/modules/iris/inputs/amlInput")',
        "priority": 0,
        "timeToLiveSeconds": 60,
    },
    {"name": "results", "from": "/messages/modules/iris/outputs/amlOutput", "into": "$upstream"},
]


def edge_spec(**fields: Any) -> dict[str, Any]:
    """Describe a ModelDeployment on the devices of plant-1; fields of `iotEdge` go there."""
    edge = {"targetCondition": SITE, **fields.pop("iotEdge", {})}
    model = {**MODEL, "uri": "https://example.org/iris.onnx"}
    return {
        "target": "IoTEdge",
        "computeTargetRef": {"name": "plants"},
        "model": model,
        "iotEdge": {name: value for name, value in edge.items() if value is not None},
        **fields,
    }


def place(**fields: Any) -> IotEdgePlace:
    """Describe a hub."""
    return IotEdgePlace.model_validate({"hostName": "plants.azure-devices.net", **fields})


def recipe(spec: dict[str, Any] | None = None, content: Content = CONTENT, **fields: Any) -> Recipe:
    """Say what a deployment is made from."""
    return Recipe(subject(spec or edge_spec()), place(**fields), CLUSTER, content)


def desired(spec: dict[str, Any] | None = None, image: str = IMAGE, **fields: Any) -> Desired:
    """Build a deployment."""
    return desired_deployment(recipe(spec, **fields), image, KEY, [])


def shown(
    wanted: Desired,
    rollout: Any,
    step: Create | Update,
    *,
    ids: tuple[str, ...] = (),
    at: datetime = NOW,
    **more: Any,
) -> dict[str, Any]:
    """Give a deployment as a hub shows it after a step."""
    told = document(wanted, rollout, step, ids)
    moment = at.isoformat()
    return {
        **told,
        "etag": "MQ==",
        "createdTimeUtc": moment,
        "lastUpdatedTimeUtc": moment,
        "systemMetrics": {"results": {}},
        "metrics": {**told["metrics"], "results": {}},
        **more,
    }
