"""The state machine over the whole product of states and events."""

import pytest

from services.kit.jobs.states import Event, IllegalTransition, State, transition

LEGAL = {
    (State.PENDING, Event.ENQUEUE): State.QUEUED,
    (State.PENDING, Event.FAIL): State.FAILED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.FAIL): State.FAILED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.REQUEUE): State.QUEUED,
    (State.RUNNING, Event.COMPLETE): State.COMPLETED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.FAILED, Event.REVIVE): State.PENDING,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_transition(state: State, event: Event) -> None:
    """Each pair of state and event leads where the table says or is refused."""
    if (state, event) in LEGAL:
        assert transition(state, event) is LEGAL[state, event]
    else:
        with pytest.raises(IllegalTransition) as refused:
            transition(state, event)
        assert refused.value.metadata == {"state": state.value, "event": event.value}


@pytest.mark.parametrize("state", State)
def test_finished_states_are_those_without_a_way_out(state: State) -> None:
    """A state is finished exactly when no event but an administrator's leads out of it."""
    assert state.finished == all(source is not state for source, event in LEGAL if event is not Event.REVIVE)


def test_every_state_but_the_first_can_be_reached() -> None:
    """No state is there in vain."""
    assert set(LEGAL.values()) == set(State)
