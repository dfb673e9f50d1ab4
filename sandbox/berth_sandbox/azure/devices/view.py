"""From a module's Pod to what the agent of its device reports."""

from berth_sandbox.azure.backing import InstanceView, Observation, State
from berth_sandbox.azure.devices.objects import CONTAINER, RESTART
from berth_sandbox.azure.iot_hub.modules import ModuleView, RuntimeStatus

UNSEEN = ModuleView(RuntimeStatus.UNKNOWN)


def module_view(seen: Observation, policy: str) -> ModuleView:
    """Return what is seen of a module whose restart policy is given."""
    container = seen.containers.get(CONTAINER)
    if container is None or container.current_state is None:
        return UNSEEN
    match container.current_state.state:
        case State.RUNNING:
            return _view(container, RuntimeStatus.RUNNING)
        case State.TERMINATED:
            return _view(container, _ended(container.current_state.exit_code or 0, policy))
        case _ if container.previous_state:  # it waits for its next start
            return _view(container, RuntimeStatus.BACKOFF)
    return UNSEEN


def _ended(exit_code: int, policy: str) -> RuntimeStatus:
    restarts = RESTART[policy]
    if restarts == "Always" or (restarts == "OnFailure" and exit_code):
        return RuntimeStatus.BACKOFF
    return RuntimeStatus.FAILED if exit_code else RuntimeStatus.STOPPED


def _view(container: InstanceView, status: RuntimeStatus) -> ModuleView:
    current, previous = container.current_state, container.previous_state
    last = current if current and current.state != State.WAITING else previous
    ended = current if current and current.state == State.TERMINATED else previous
    return ModuleView(
        status,
        exit_code=(ended.exit_code or 0) if ended and status is not RuntimeStatus.RUNNING else 0,
        restart_count=container.restart_count,
        last_start=last.start_time.timestamp() if last and last.start_time else None,
        last_exit=ended.finish_time.timestamp() if ended and ended.finish_time else None,
    )
