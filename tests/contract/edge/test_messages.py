"""Our server as a module of IoT Edge, between a producer and a sink that use Microsoft's SDK."""

import asyncio
import hashlib
import json
from pathlib import Path

import joblib
from edge_world import World, until
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

SCRIPT = """
    import json, time
    from berth_scoring.compat.aml_response import AMLResponse

    def init(): ...

    def run(data):
        asked = json.loads(data)
        if "sleep" in asked:
            time.sleep(asked["sleep"])
        if "status" in asked:
            return AMLResponse("no", asked["status"])
        return asked["answer"]
"""
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


async def test_a_message_is_answered_like_a_request(world: World) -> None:
    await world.scorer(SCRIPT)
    body = json.dumps({"answer": {"class": "setosa"}})
    world.send(body, id="m 1/2", type="application/json", properties={"source": "pump+1 ä", "q": "a=b&c"})
    (result,) = await world.arrived(1)
    assert result["input"] == "results"
    assert json.loads(result["body"]) == {"class": "setosa"}
    assert result["type"] == "application/json"
    assert result["correlation"] == "m 1/2"
    assert result["id"] == "m 1/2:0"
    assert result["properties"]["AzureMLResponse"] == "OK"
    assert result["properties"]["source"] == "pump+1 ä"
    assert result["properties"]["q"] == "a=b&c"


async def test_each_json_text_of_a_list_is_a_message(world: World) -> None:
    await world.scorer(SCRIPT)
    world.send(json.dumps({"answer": ['{"anomaly": true}', "7"]}), id="m")
    first, second = sorted(await world.arrived(2), key=lambda each: str(each["id"]))
    assert (first["body"], second["body"]) == ('{"anomaly": true}', "7")
    assert (first["id"], second["id"]) == ("m:0", "m:1")
    assert first["properties"]["AzureMLResponse"] == second["properties"]["AzureMLResponse"] == "OK"


async def test_what_else_a_script_returns_is_one_message(world: World) -> None:
    await world.scorer(SCRIPT)
    answers = [["setosa"], ["1", 2], "text", {"a": []}, 3.5]
    for number, answer in enumerate(answers):
        world.send(json.dumps({"answer": answer}), id=f"m{number}")
    results = await world.arrived(len(answers))
    assert {each["id"]: json.loads(each["body"]) for each in results} == {
        f"m{number}:0": answer for number, answer in enumerate(answers)
    }


async def test_an_empty_list_sends_nothing_and_settles_the_message(world: World) -> None:
    scorer = await world.scorer(SCRIPT)
    for answer in ([], ["1"]):
        world.send(json.dumps({"answer": answer}))
    assert [each["body"] for each in await world.arrived(1)] == ["1"]
    await until(lambda: not world.hub.sessions["scorer"].stored)
    assert await scorer.metric("berth_scoring_edge_acknowledged_total") == 2


async def test_a_message_that_fails_is_answered_with_the_error(world: World) -> None:
    scorer = await world.scorer(SCRIPT)
    failing = {
        "no JSON": SCRIPT_FAILED,
        "": SCRIPT_FAILED,
        "\xff\xfe": "Input cannot be decoded as UTF-8",
        '{"answer": 1, "status": 418}': "the script answered with status 418",
    }
    for number, body in enumerate((*failing, '{"answer": "next"}')):
        world.send(body, id=f"m{number}")
    arrived = await world.arrived(len(failing) + 1)
    *results, last = sorted(arrived, key=lambda each: str(each["id"]))  # Microsoft's SDK keeps no order
    for result, told in zip(results, failing.values(), strict=True):
        assert result["properties"]["AzureMLResponse"].startswith(told)
    assert last["body"] == '"next"'
    assert await scorer.metric("berth_scoring_edge_failed_total") == len(failing)
    assert await scorer.metric("berth_scoring_edge_answered_total") == 1


async def test_an_answer_beyond_what_a_hub_takes_becomes_an_error(world: World) -> None:
    scorer = await world.scorer(
        """
        def init(): ...
        def run(data): return "x" * int(data)
        """
    )
    for size in (300_000, 262_144, 261_000):
        world.send(str(size))
    results = await world.arrived(3)
    outcomes = [each["properties"]["AzureMLResponse"] for each in results]
    assert all(each.startswith("The answer takes ") for each in outcomes[:2])
    assert outcomes[2] == "OK"
    assert len(results[2]["body"]) == 261_002
    assert await scorer.metric('berth_scoring_edge_dropped_total{reason="too large"}') == 2
    assert world.hub.connections["scorer"] == 1


async def test_messages_on_other_inputs_are_let_go(world: World) -> None:
    scorer = await world.scorer(SCRIPT, edge={"input": "mine"})
    target = 'INTO BrokeredEndpoint("/modules/scorer/inputs/{}")'
    world.hub.route(
        [
            f"FROM /messages/modules/producer/* {target.format('amlInput')}",
            f"FROM /messages/modules/producer/* {target.format('mine')}",
            'FROM /messages/modules/scorer/* INTO BrokeredEndpoint("/modules/sink/inputs/results")',
        ]
    )
    world.send('{"answer": 1}')
    await world.arrived(1)
    await until(lambda: not world.hub.sessions["scorer"].stored)
    assert await scorer.metric('berth_scoring_edge_dropped_total{reason="other topic"}') == 1
    assert await scorer.metric("berth_scoring_edge_received_total") == 1


async def test_a_model_without_a_script_answers_messages_too(world: World) -> None:
    features, classes = load_iris(return_X_y=True)
    model = world.folder / "model.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(features, classes), model)
    entry = {"name": "iris", "version": "3", "uri": f"file://{model}", "format": "sklearn"}
    await world.scorer(None, models=[entry])
    world.send('{"data": [[5.1, 3.5, 1.4, 0.2], [6.2, 3.4, 5.4, 2.3]]}')
    world.send('{"data": "nothing"}')
    answer, refusal = await world.arrived(2)
    assert json.loads(answer["body"]) == [0, 2]
    assert refusal["properties"]["AzureMLResponse"] != "OK"
    assert "message" in json.loads(refusal["body"]) or "error" in json.loads(refusal["body"])


async def test_messages_and_requests_take_turns_in_one_script(world: World) -> None:
    scorer = await world.scorer(
        """
        import threading
        inside = threading.Semaphore(1)
        def init(): ...
        def run(data):
            assert inside.acquire(blocking=False), "two at once"
            try:
                threading.Event().wait(0.02)
                return data
            finally:
                inside.release()
        """,
        requests={"maxQueueWaitMilliseconds": 5000},
    )
    for number in range(20):
        world.send(str(number))
    answers = await asyncio.gather(*(scorer.get("/score", b"0") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    results = await world.arrived(20)
    assert {each["properties"]["AzureMLResponse"] for each in results} == {"OK"}


async def test_a_message_waits_where_a_request_would_be_refused(world: World) -> None:
    scorer = await world.scorer(SCRIPT, requests={"maxQueueWaitMilliseconds": 0})
    running = asyncio.create_task(scorer.get("/score", b'{"sleep": 2, "answer": 0}'))
    await asyncio.sleep(0.5)
    assert (await scorer.get("/score", b'{"answer": 1}'))[0] == 503
    world.send('{"answer": "patient"}')
    (result,) = await world.arrived(1)
    assert (await running)[0] == 200
    assert result["body"] == '"patient"'


async def test_a_run_that_takes_too_long_is_answered_with_the_time_out(world: World) -> None:
    await world.scorer(SCRIPT, requests={"timeoutMilliseconds": 300})
    world.send('{"sleep": 3, "answer": 0}')
    (result,) = await world.arrived(1)
    assert "300 ms" in result["properties"]["AzureMLResponse"]


async def test_the_twin_tells_model_health_and_counts(world: World, tmp_path: Path) -> None:
    model = tmp_path / "m.bin"
    model.write_bytes(b"weights")
    entry = {"name": "m", "version": "7", "uri": f"file://{model}"}
    scorer = await world.scorer(SCRIPT, models=[entry], edge={"reportSeconds": 1})
    await until(lambda: world.hub.twins["scorer"].reported)
    reported = world.hub.twins["scorer"].reported["berth"]
    assert reported["model"] == {
        "name": "m",
        "version": "7",
        "count": 1,
        "digest": f"sha256:{hashlib.sha256(b'weights').hexdigest()}",
    }
    assert reported["code"]["digest"].startswith("sha256:")
    assert reported["health"] == "ready"
    assert reported["counts"] == {"received": 0, "answered": 0, "failed": 0, "dropped": 0}
    for body in ('{"answer": 1}', "no JSON"):
        world.send(body)
    await world.arrived(2)
    await until(lambda: world.hub.twins["scorer"].reported["berth"]["counts"]["received"] == 2)
    assert world.hub.twins["scorer"].reported["berth"]["counts"]["failed"] == 1
    assert await scorer.metric("berth_scoring_edge_reports_total") == 2


async def test_messages_are_in_the_log_and_in_the_metrics_of_requests(world: World) -> None:
    scorer = await world.scorer(SCRIPT)
    world.send('{"answer": 1}', id="m7")
    await world.arrived(1)
    await until(lambda: '"request_id":"m7"' in scorer.log)
    (line,) = [json.loads(line) for line in scorer.log.splitlines() if "m7" in line]
    assert (line["method"], line["path"], line["status"]) == ("MESSAGE", "amlInput", 200)
    series = 'berth_scoring_requests_total{code="200",route="amlInput"}'
    assert await scorer.metric(series) == 1
    assert await scorer.metric("berth_scoring_edge_connected") == 1
