"""Container groups in the emulated service: it takes what is sent, and what it shows is understood."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from container_groups import IMAGE, SUBSCRIPTION, WISHES, aci_spec, desired
from deployments import CREATED, Spec, subject

from berth.api.conditions import ConditionType, Reason
from berth.plan.azure_errors import AzureError, Kind, classify
from berth.plan.container_group import Desired
from berth.plan.group_causes import telling
from berth.plan.group_changes import Update, Way, is_stopped, update
from berth.plan.group_names import Slot
from berth.plan.group_status import Observation, group_draft
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.group import Failure
from berth_sandbox.azure.names import Document, GroupId
from berth_sandbox.azure.regions import Subscription
from berth_sandbox.azure.service import ContainerInstances
from berth_sandbox.azure.simulation import Behaviour, Simulation

OWN = "registry.test/own:1"
MINUTE = 60


@dataclass
class Service:
    """The emulated service with a clock that stands until it is told to go on."""

    clock: Clock = field(default_factory=lambda: Clock(0, datetime.fromisoformat(CREATED).astimezone(UTC)))
    simulation: Simulation = field(default_factory=Simulation)
    instances: ContainerInstances = field(init=False)

    def __post_init__(self) -> None:
        subscription = Subscription(SUBSCRIPTION, "tenant", {"models"})
        self.instances = ContainerInstances(self.simulation, self.clock, [subscription])

    async def put(self, wanted: Desired) -> Document:
        accepted = await self.instances.create_or_update(group_id(wanted), wanted.body)
        assert accepted.document
        return accepted.document

    async def get(self, wanted: Desired, after: float = 0) -> Document:
        self.clock.advance(after)
        return await self.instances.get(group_id(wanted))

    async def observe(self, wanted: Desired, after: float) -> Observation:
        """See what an adapter would see."""
        group = await self.get(wanted, after)
        logs = {name: await self.log(wanted, name) for name in (each.name for each in telling(group))}
        return Observation(group, update(wanted, group).way, logs)

    async def log(self, wanted: Desired, container: str) -> str:
        found = await self.instances.logs(group_id(wanted), container, tail=50, timestamps=False)
        return str(found["content"])

    async def verdict(self, wanted: Desired, after: float) -> tuple[Reason, str]:
        seen = await self.observe(wanted, after)
        told = group_draft(subject(aci_spec()), seen, self.clock.now()).conditions[0]
        assert told.type == ConditionType.READY
        return Reason(told.reason), told.message


def group_id(wanted: Desired) -> GroupId:
    return GroupId(SUBSCRIPTION, "models", wanted.name)


def of_own_image(**fields: Any) -> Desired:
    return desired(aci_spec(image=OWN, imageServer="Berth", **fields))


@pytest.fixture
def service() -> Service:
    return Service()


async def test_a_group_comes_up_and_is_never_sent_again(service: Service) -> None:
    wanted = desired()
    told = [update(wanted, await service.put(wanted))]
    reasons = []
    for _ in range(12):
        reasons.append((await service.verdict(wanted, after=5))[0])
        told.append(update(wanted, await service.get(wanted)))
    assert list(dict.fromkeys(reasons)) == [Reason.ROLLING_OUT, Reason.READY]
    assert set(told) == {Update(Way.NOTHING)}


@pytest.mark.parametrize("fields", [fields for fields, _ in WISHES.values()], ids=WISHES)
async def test_what_is_changed_in_place_is_taken_and_what_is_not_is_refused(
    service: Service, fields: Spec
) -> None:
    """The table agrees with the service's own."""
    before, after = desired(), desired(fields)
    await service.put(before)
    way = update(after, await service.get(before, after=MINUTE)).way
    if way is Way.IN_PLACE or "encryption" in fields.get("aci", {}):  # nobody has said that it can be changed
        await service.put(after)
        assert update(after, await service.get(after)).way is Way.NOTHING
    else:
        with pytest.raises(ArmError) as refused:
            await service.put(after)
        assert (
            classify(AzureError.read(refused.value.status, refused.value.document())).kind is Kind.IMMUTABLE
        )


async def test_a_second_group_stands_beside_the_first(service: Service) -> None:
    blue, green = desired(slot=Slot.BLUE), desired(aci_spec(env=[{"name": "A"}]), slot=Slot.GREEN)
    await service.put(blue)
    await service.put(green)
    assert (await service.verdict(green, after=MINUTE))[0] is Reason.READY
    hosts = {(await service.get(each))["properties"]["ipAddress"]["fqdn"] for each in (blue, green)}
    assert len(hosts) == 2


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (
            Behaviour(run_seconds=3, exit_code=3, log=("ScriptInitFailed: ValueError: no", "  in init")),
            Reason.SCRIPT_INIT_FAILED,
            "ValueError: no\n  in init",
        ),
        (
            Behaviour(run_seconds=3, exit_code=2, log=("what is wrong",)),
            Reason.CONTAINER_FAILED,
            "exit code 2; its last words: what is wrong",
        ),
        (
            Behaviour(run_seconds=3, exit_code=137),
            Reason.OUT_OF_MEMORY,
            "raise spec.resources.requests.memory",
        ),
        (Behaviour(pull_error="manifest unknown"), Reason.IMAGE_PULL_FAILED, "manifest unknown"),
        (Behaviour(mount_error="mount error(2)"), Reason.VOLUME_FAILED, "mount error(2)"),
    ],
)
async def test_what_goes_wrong_is_told_within_a_minute(
    service: Service, behaviour: Behaviour, reason: Reason, words: str
) -> None:
    service.simulation.behaviours[OWN] = behaviour
    wanted = of_own_image()
    await service.put(wanted)
    found, message = await service.verdict(wanted, after=MINUTE)
    assert found is reason
    assert words in message


async def test_a_model_that_cannot_be_fetched_is_told(service: Service) -> None:
    log = ("ModelFetchFailed: model iris:3: https://a.test/m: HTTP 404",)
    service.simulation.behaviours[IMAGE] = Behaviour(run_seconds=2, exit_code=1, log=log)
    wanted = of_own_image()
    await service.put(wanted)
    assert await service.verdict(wanted, after=MINUTE) == (
        Reason.MODEL_FETCH_FAILED,
        "model iris:3: https://a.test/m: HTTP 404",
    )


async def test_a_group_that_is_stopped_and_started_serves_again(service: Service) -> None:
    wanted = desired()
    await service.put(wanted)
    await service.get(wanted, after=MINUTE)
    await service.instances.stop(group_id(wanted))
    assert is_stopped(await service.get(wanted))
    assert (await service.verdict(wanted, after=MINUTE))[0] is not Reason.READY
    await service.instances.start(group_id(wanted))
    assert (await service.verdict(wanted, after=MINUTE))[0] is Reason.READY


async def test_a_group_whose_operation_failed_is_told_as_given_up(service: Service) -> None:
    wanted = desired()
    failure = Failure("InaccessibleImage", "The image is not accessible.")
    await service.instances.create_or_update(group_id(wanted), wanted.body, failure)
    reason, message = await service.verdict(wanted, after=1)
    assert reason is Reason.CONTAINER_FAILED
    assert message.startswith("Azure says: provisioning Failed, ")
    assert message.endswith("; it is made again, later each time")
