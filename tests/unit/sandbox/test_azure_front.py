"""Routes, faults, limits and the clock of the emulated Azure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.clock import Clock, in_milliseconds, in_seconds, in_ticks
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.faults import (
    EFFECTS,
    CutConnection,
    Fault,
    Faults,
    Refuse,
    SlowDelete,
    TransportEffect,
    fault,
)
from berth_sandbox.azure.regions import exceeded, used
from berth_sandbox.azure.requests import public
from berth_sandbox.azure.routes import ROUTES, match
from berth_sandbox.azure.throttle import Bucket, Limits, Throttle, Window

START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
GROUP = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerInstance/containerGroups/iris"


class Wall:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TestClock:
    @given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), max_size=5))
    def test_time_goes_on_where_its_pace_changes(self, spans: list[tuple[float, float]]) -> None:
        wall = Wall()
        clock = Clock(1, START, wall)
        expected = 0.0
        for factor, seconds in spans:
            clock.run_at(factor)
            wall.seconds += seconds
            expected += factor * seconds
        assert clock.now() - START == pytest.approx(
            timedelta(seconds=expected), abs=timedelta(milliseconds=1)
        )

    def test_a_clock_that_stands_can_be_moved(self) -> None:
        wall = Wall()
        clock = Clock(0, START, wall)
        wall.seconds = 100

        clock.advance(5)

        assert clock.now() == START + timedelta(seconds=5)

    def test_times_are_written_in_azures_three_ways(self) -> None:
        assert in_seconds(START) == "2026-01-01T12:00:00Z"
        assert in_milliseconds(START) == "2026-01-01T12:00:00.123Z"
        assert in_ticks(START) == "2026-01-01T12:00:00.1234560Z"


class TestRoutes:
    @pytest.mark.parametrize("path", [GROUP, GROUP.upper(), GROUP.lower()])
    def test_paths_match_in_any_case(self, path: str) -> None:
        found = match("PUT", path)

        assert found
        assert found.operation == "ContainerGroups_CreateOrUpdate"
        assert found.values["group"].lower() == "iris"

    def test_values_are_decoded(self) -> None:
        found = match("GET", GROUP.replace("rg", "my%20group"))

        assert found
        assert found.values["resource_group"] == "my group"

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", GROUP), ("GET", f"{GROUP}/unknown"), ("GET", "/"), ("GET", f"{GROUP}/containers//logs")],
    )
    def test_nothing_else_is_an_operation(self, method: str, path: str) -> None:
        assert match(method, path) is None

    def test_each_route_matches_itself_alone(self) -> None:
        for route in ROUTES:
            path = route.path.replace("{", "").replace("}", "")
            found = match(route.method, path)
            assert found
            assert found.operation == route.operation


class TestFaults:
    def test_a_fault_happens_as_often_as_it_was_asked_for(self) -> None:
        faults = Faults()
        faults.add(Refuse(500), times=2)

        taken = [faults.take(TransportEffect, "GET", GROUP) for _ in range(3)]

        assert taken == [Refuse(500), Refuse(500), None]

    def test_a_fault_without_a_number_happens_until_it_is_removed(self) -> None:
        faults = Faults()
        number = faults.add(CutConnection(), times=None)
        assert all(faults.take(TransportEffect, "GET", GROUP) for _ in range(10))

        faults.remove(number)

        assert faults.take(TransportEffect, "GET", GROUP) is None

    @pytest.mark.parametrize(
        ("method", "path", "fits"),
        [
            ("PUT", "iris", True),
            ("put|delete", "/containerGroups/iris$", True),
            ("PUT", "IRIS", True),
            ("PU", "", False),
            ("GET", "", False),
            ("PUT", "/restart$", False),
        ],
    )
    def test_a_fault_is_meant_for_what_fits(self, method: str, path: str, fits: bool) -> None:
        assert Fault(CutConnection(), method, path).fits("PUT", GROUP) == fits

    def test_kinds_do_not_take_each_others_turn(self) -> None:
        faults = Faults()
        faults.add(SlowDelete(60))

        assert faults.take(TransportEffect, "DELETE", GROUP) is None
        assert faults.take(SlowDelete, "DELETE", GROUP) == SlowDelete(60)

    def test_those_that_were_planned_first_happen_first(self) -> None:
        faults = Faults()
        faults.add(Refuse(500))
        faults.add(Refuse(503))

        assert faults.take(Refuse, "GET", GROUP) == Refuse(500)
        assert faults.take(Refuse, "GET", GROUP) == Refuse(503)

    @pytest.mark.parametrize("name", EFFECTS)
    def test_every_fault_can_be_written_and_read(self, name: str) -> None:
        options = {
            "Refuse": {"status": 429, "retry_after": 3},
            "Delay": {"seconds": 1},
            "SlowDelete": {"seconds": 1},
        }
        failing = {"code": "InaccessibleImage", "message": "gone"}
        planned = fault(
            {"effect": name, "with": options.get(name, failing if name == "FailOperation" else {})}
        )

        assert fault(planned.document()) == planned


class TestThrottle:
    @given(st.integers(1, 50), st.floats(0.1, 50), st.lists(st.floats(0, 5), max_size=60))
    def test_a_bucket_gives_what_it_has_and_says_when_there_is_more(
        self, capacity: int, rate: float, pauses: list[float]
    ) -> None:
        bucket, now, taken = Bucket(capacity, rate, capacity, 0.0), 0.0, 0
        for pause in pauses:
            now += pause
            wait = bucket.take(now)
            taken += not wait
            assert 0 <= bucket.tokens <= capacity
            assert taken <= capacity + now * rate + 1e-6
            if wait:
                now += wait + 1e-6
                assert bucket.take(now) == 0
                taken += 1

    @given(st.integers(1, 5), st.lists(st.floats(0, 200), max_size=40))
    def test_a_window_never_holds_more_than_its_limit(self, limit: int, pauses: list[float]) -> None:
        window, now = Window(limit, 300.0), 0.0
        taken: list[float] = []
        for pause in pauses:
            now += pause
            if not window.wait(now):
                window.taken.append(now)
                taken.append(now)
            assert len([moment for moment in taken if moment > now - 300]) <= limit

    def test_who_waits_as_told_is_served(self) -> None:
        throttle = Throttle("s", Limits({"reads": (1, 0.5)}, {"pt5m": 9, "pt1h": 9}), 0.0)
        throttle.admit("GET", 0.0)
        with pytest.raises(ArmError) as caught:
            throttle.admit("GET", 0.1)

        seconds = int(caught.value.headers["Retry-After"])

        assert caught.value.status == 429
        assert throttle.admit("GET", 0.1 + seconds)


def body(cpu: float, **properties: object) -> dict[str, object]:
    container = {"name": "a", "properties": {"resources": {"requests": {"cpu": cpu, "memoryInGB": 1}}}}
    return {"properties": {"containers": [container], **properties}}


class TestQuotas:
    def test_cores_are_counted_whole_and_by_kind(self) -> None:
        assert used([body(1.5), body(1), body(3, priority="Spot")]) == {
            "ContainerGroups": 3,
            "StandardCores": 3,
            "StandardSpotCores": 3,
        }

    @pytest.mark.parametrize(("limit", "refused"), [(4, False), (3, True)])
    def test_what_fits_exactly_is_taken(self, limit: int, refused: bool) -> None:
        quotas = {"ContainerGroups": 10, "StandardCores": limit, "StandardSpotCores": 0}

        error = exceeded("eastus", quotas, used([body(2)]), body(2))

        assert (error is not None) == refused


def test_the_log_keeps_neither_tokens_nor_secrets() -> None:
    kept = public({"Authorization": "Bearer x", "client_secret": "s", "client_assertion": "j", "scope": "a"})

    assert kept == {"scope": "a"}
