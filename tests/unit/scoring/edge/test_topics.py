import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.edge_hub.messages import Identity, Message
from berth_scoring.edge.identity import ModuleIdentity
from berth_scoring.edge.topics import Topics, read_properties, twin_answer, twin_patch, write_properties
from berth_scoring.startup import StartupError

texts = st.text(st.characters(codec="utf-8"), max_size=20)
properties = st.dictionaries(texts.filter(bool), texts, max_size=5)


@given(properties)
def test_properties_are_read_as_they_were_written(given_properties: dict[str, str]) -> None:
    assert read_properties(write_properties(given_properties)) == given_properties


@given(properties)
def test_a_hub_reads_the_properties_of_an_output(given_properties: dict[str, str]) -> None:
    topics = Topics("devices/d/modules/m/inputs/", "devices/d/modules/m/messages/events/")
    topic = topics.output("amlOutput", given_properties)
    message = Message.from_topic(Identity("d", "m"), topic.removeprefix(topics.outputs), b"")
    assert message.properties == {key: value for key, value in given_properties.items() if key != "$.on"}


def test_topics_are_those_of_the_device_sdk(identity: ModuleIdentity) -> None:
    topics = Topics.of(identity)
    assert topics.filters == ("devices/dev1/modules/amlmodule/inputs/#", "$iothub/twin/res/#")
    sent = {"$.mid": "m 1/2", "$.ct": "application/json", "AzureMLResponse": "OK"}
    assert topics.output("amlOutput", sent) == (
        "devices/dev1/modules/amlmodule/messages/events/"
        "%24.on=amlOutput&%24.mid=m%201%2F2&%24.ct=application%2Fjson&AzureMLResponse=OK"
    )
    received = "devices/dev1/modules/amlmodule/inputs/amlInput/%24.cdid=d&%24.cmid=producer&source=a+b"
    assert topics.input(received) == (
        "amlInput",
        {"$.cdid": "d", "$.cmid": "producer", "source": "a+b"},
    )


def test_what_is_no_input_is_none(identity: ModuleIdentity) -> None:
    assert Topics.of(identity).input("devices/dev1/modules/other/inputs/amlInput/") is None


@pytest.mark.parametrize(
    ("topic", "answer"),
    [
        ("$iothub/twin/res/204/?$rid=7&$version=3", (7, 204)),
        ("$iothub/twin/res/429/?$rid=8", (8, 429)),
        ("$iothub/twin/res/204/?$rid=x", None),
        ("$iothub/twin/res/", None),
        ("devices/d/modules/m/inputs/a", None),
    ],
)
def test_answers_about_the_twin_are_told_by_request(topic: str, answer: tuple[int, int] | None) -> None:
    assert twin_answer(topic) == answer
    assert twin_patch(7) == "$iothub/twin/PATCH/properties/reported/?$rid=7"


def test_an_identity_speaks_as_the_device_sdk_does(identity: ModuleIdentity) -> None:
    assert identity.client_id == "dev1/amlmodule"
    assert identity.username.startswith(
        "hub.example/dev1/amlmodule/?api-version=2019-10-01&DeviceClientType="
    )
    assert identity.resource == "hub.example%2Fdevices%2Fdev1%2Fmodules%2Famlmodule"


def test_an_identity_that_is_not_whole_names_what_lacks(environment: dict[str, str]) -> None:
    del environment["IOTEDGE_MODULEID"]
    environment["IOTEDGE_DEVICEID"] = ""
    with pytest.raises(
        StartupError, match=r"EdgeIdentityMissing: .*IOTEDGE_MODULEID, IOTEDGE_DEVICEID is not"
    ):
        ModuleIdentity.from_environment(environment)
