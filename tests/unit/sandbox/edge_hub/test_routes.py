import pytest

from berth_sandbox.azure.edge_hub.messages import Identity, Message
from berth_sandbox.azure.edge_hub.routes import UPSTREAM, Route, RouteError

SINK = 'BrokeredEndpoint("/modules/scorer/inputs/amlInput")'


def message(module: str, output: str | None) -> Message:
    return Message(Identity("d", module), output, {}, b"")


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        ("/*", {"one a", "one b", "one None", "two a"}),
        ("/messages/*", {"one a", "one b", "one None", "two a"}),
        ("/messages/modules/*", {"one a", "one b", "one None", "two a"}),
        ("/messages/modules/one", {"one a", "one b", "one None"}),
        ("/messages/modules/one/*", {"one a", "one b", "one None"}),
        ("/messages/modules/one/outputs/*", {"one a", "one b"}),
        ("/messages/modules/one/outputs/a", {"one a"}),
    ],
)
def test_a_source_takes_what_it_names(source: str, taken: set[str]) -> None:
    route = Route.from_text(f"FROM {source} INTO {SINK}")
    sent = [("one", "a"), ("one", "b"), ("one", None), ("two", "a")]
    assert {f"{module} {output}" for module, output in sent if route.takes(message(module, output))} == taken


def test_a_sink_is_an_input_or_the_hub_above() -> None:
    assert Route.from_text(f"from /* into {SINK}") == Route(None, None, "scorer", "amlInput")
    assert Route.from_text("FROM /messages/* INTO $upstream") == Route(None, None, UPSTREAM)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FROM /* INTO",
        "FROM /* INTO /modules/scorer",
        "FROM /other/* INTO $upstream",
        "FROM /messages/modules/one/inputs/a INTO $upstream",
        "FROM /* WHERE a = 'b' INTO $upstream",
        'FROM /* INTO BrokeredEndpoint("/modules/scorer/outputs/a")',
    ],
)
def test_what_is_no_route_is_refused(text: str) -> None:
    with pytest.raises(RouteError):
        Route.from_text(text)
