from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import PullSecrets

INPUT, OUTPUT = "amlInput", "amlOutput"
"""The ends of a module's ways of messages, as those of Azure ML's modules."""
UPSTREAM = "$upstream"
MOST_METRICS = 5
"""Queries that the hub keeps for each deployment."""

_TEXT = r"""'([^'\\]|\\.)*'|"([^"\\]|\\.)*\""""
_SUBJECT = r"(^|[^A-Za-z0-9_.])(deviceId|tags\.|properties\.reported\.)"
_CLOSED_QUOTES = Rule(
    rf"self.matches(r'''^([^'\"]|{_TEXT})*$''')",
    r"a quote is not closed; inside of a text write it as \'",
)
LabelText = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[-A-Za-z0-9:.+%_#*?!(),=@;']+$")
]
Percent = Annotated[int, Field(ge=0, le=100)]
TargetCondition = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    _CLOSED_QUOTES,
    Rule("!self.contains('\"')", "a hub takes the texts of a condition in single quotes only"),
    Rule(r"!self.matches(r'(?i)\bn?in\s*\[')", "a condition knows no IN: join comparisons by OR"),
    Rule(
        f"self == '*' || self.matches(r'{_SUBJECT}')",
        "a condition is *, or compares deviceId, tags.NAME or properties.reported.NAME with a value",
    ),
]


class EdgeRestartPolicy(StrEnum):
    """When the device's agent starts the module again."""

    ALWAYS = "always"
    ON_UNHEALTHY = "on-unhealthy"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class EdgePullPolicy(StrEnum):
    """When the device pulls the image."""

    ON_CREATE = "on-create"
    NEVER = "never"


class EdgeModule(ApiModel):
    """How the device's agent runs the module."""

    name: (
        Annotated[
            str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
        ]
        | None
    ) = None
    """Name of the module on the device. Without it, the name of the ModelDeployment."""
    restart_policy: EdgeRestartPolicy = EdgeRestartPolicy.ALWAYS
    """When the agent starts the module again."""
    image_pull_policy: EdgePullPolicy = EdgePullPolicy.ON_CREATE
    """When the device pulls the image."""
    startup_order: Annotated[int, Field(ge=0, le=4_294_967_295)] = 4_294_967_295
    """Modules with lower numbers start first."""
    create_options: (
        Annotated[str, StringConstraints(min_length=2, max_length=4096, pattern=r"^\{(.|\n)*\}$")] | None
    ) = None
    """Docker's ContainerCreate options as JSON text, merged over what Berth sets."""


class EdgeRoute(ApiModel):
    """A way of messages on the device."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    """Name of the route."""
    source: Annotated[
        str,
        Field(alias="from"),
        StringConstraints(
            min_length=2, max_length=256, pattern=r"^/(messages|twinChangeNotifications|\*)[A-Za-z0-9_/*.-]*$"
        ),
    ]
    """Where the messages come from, such as `/messages/modules/camera/outputs/frames`."""
    where: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=512),
            _CLOSED_QUOTES,
            Rule(
                r"!self.matches(r'(?i)(\binto\b|\$upstream)')",
                "the condition of a route names no sink: give it by into",
            ),
        ]
        | None
    ) = None
    """Condition on the message, such as `temperature > 30`."""
    sink: Annotated[
        str,
        Field(alias="into"),
        StringConstraints(
            max_length=256,
            pattern=r'^(\$upstream|BrokeredEndpoint\("/modules/[A-Za-z0-9_-]+/inputs/[A-Za-z0-9_.-]+"\))$',
        ),
    ]
    """Where they go: `BrokeredEndpoint("/modules/MODULE/inputs/INPUT")` or `$upstream`."""
    priority: Annotated[int, Field(ge=0, le=9)] = 9
    """0 is the most urgent."""
    time_to_live_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Seconds that a message is kept while the way is closed. Without it, `storeAndForwardSeconds`."""


class EdgeMetric(ApiModel):
    """A query on the fleet whose count the hub keeps."""

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$"),
        Rule("!self.startsWith('berth')", "names that start with berth are Berth's own: choose another one"),
    ]
    """Name of the metric."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^(?i:select)\s")]
    """Query in the language of IoT Hub."""


class RolloutStage(ApiModel):
    """A part of the fleet that gets a new version together."""

    target_condition: TargetCondition | None = None
    """Devices of this stage by a condition on their tags."""
    percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Devices of this stage as a share of all, chosen by a stable hash of the device id."""
    min_healthy_percent: Percent = 100
    """Share of the stage's devices seen that must be healthy before the next stage."""
    wait_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """Seconds to stay healthy before the next stage."""

    rules = (
        Rule(
            "has(self.targetCondition) != has(self.percent)",
            "a rollout stage takes exactly one of targetCondition and percent",
        ),
    )


class Rollout(ApiModel):
    """Brings a new version to the fleet in stages."""

    stages: Annotated[tuple[RolloutStage, ...], Field(min_length=1, max_length=16)]
    """Stages in their order."""
    max_failed_percent: Percent = 0
    """Share of failing devices beyond which the rollout stops and goes back."""


def outputs_of(edge: str) -> str:
    """Return, in CEL as `edge` is, what routes from the module of these settings begin with."""
    return f"'/messages/modules/' + {edge}.module.name + '/'"


def inputs_of(edge: str) -> str:
    """Return, in CEL as `edge` is, how ways into the module of these settings begin."""
    return f"""'BrokeredEndpoint("/modules/' + {edge}.module.name + '/inputs/'"""


_OUTPUTS, _INPUTS = outputs_of("self"), inputs_of("self")
_EVERY_OUTPUT = "['/*', '/messages/*', '/messages/modules/*']"


def _every_route(cel: str, message: str) -> Rule:
    return Rule(f"!has(self.routes) || !has(self.module.name) || self.routes.all(r, {cel})", message)


class IotEdgeTarget(ApiModel):
    """Settings of the target `IoTEdge`: a deployment in an IoT Hub."""

    device_id: (
        Annotated[
            str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9:.+%_#*?!(),=@$'-]+$")
        ]
        | None
    ) = None
    """One device by its id."""
    target_condition: TargetCondition | None = None
    """Devices by a condition on their tags, such as `tags.site='plant-1'`."""
    priority: Annotated[int, Field(ge=1, le=2**31 - 1)] = 10
    """Where deployments overlap, the larger number wins."""
    labels: (
        Annotated[
            dict[str, LabelText],
            Field(max_length=16),
            Rule(
                "self.all(key, key.matches('^[A-Za-z0-9_.-]{1,64}$')"
                " && !key.startsWith('berth-') && key != 'managed-by')",
                "a label's name has at most 64 letters, digits, '_', '.' and '-', and is none of Berth's own:"
                " managed-by, berth-...",
            ),
        ]
        | None
    ) = None
    """Labels of the deployment in the hub."""
    module: EdgeModule = EdgeModule()
    """How the device's agent runs the module."""
    routes: Annotated[tuple[EdgeRoute, ...], Field(max_length=32), ListMap("name")] | None = None
    """Ways of messages to `amlInput` and from `amlOutput`."""
    allow_raw_upstream: bool = False
    """Permit routes that send raw input to the cloud."""
    store_and_forward_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] = 7200
    """Seconds that messages of `routes` are kept while the device is offline."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets with the registries' credentials for the devices."""
    metrics: Annotated[tuple[EdgeMetric, ...], Field(max_length=MOST_METRICS), ListMap("name")] | None = None
    """Queries on the fleet whose counts the hub keeps."""
    min_healthy_percent: Percent = 100
    """Share of the devices seen that must be healthy for Ready."""
    rollout: Rollout | None = None
    """Brings a new version to the fleet in stages."""

    rules = (
        Rule(
            "has(self.deviceId) != has(self.targetCondition)",
            "iotEdge takes exactly one of deviceId and targetCondition",
        ),
        Rule(
            "!has(self.rollout) || has(self.targetCondition)",
            "a single device has no stages: remove rollout, or give targetCondition",
        ),
        Rule(
            "!has(self.routes) || has(self.module.name)",
            "routes speak of the module by its name: give module.name",
        ),
        _every_route(
            f"r.into != '{UPSTREAM}' || self.allowRawUpstream || r.from.startsWith({_OUTPUTS})",
            "a route sends raw input to the cloud: begin it at the module's amlOutput,"
            " or set allowRawUpstream",
        ),
        _every_route(
            f"!r.into.startsWith({_INPUTS}) || !(r.from.startsWith({_OUTPUTS})"
            f" || (!has(r.where) && r.from in {_EVERY_OUTPUT}))",
            "a route brings the module's answers back to it: begin it at another module,"
            " or let where leave them out",
        ),
        _every_route(
            f"r.into == '{UPSTREAM}' || r.from.startsWith({_OUTPUTS}) || r.into.startsWith({_INPUTS})",
            "a route leads past the module: begin it at /messages/modules/MODULE/outputs/amlOutput,"
            ' or end it at BrokeredEndpoint("/modules/MODULE/inputs/amlInput")',
        ),
    )
