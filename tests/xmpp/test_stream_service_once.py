"""A stream service that makes one stream only: whatever ends it is a refusal."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.support.stream_services import HEADER, World, stream_error


@pytest.fixture
def world():
    made = World()
    made.stream.once = True
    return made


def refusal(world):
    """Give the one refusal; no attempt may be left."""
    [error] = world.refusals
    assert world.stream.refused is error
    attempts = world.server.attempts
    world.clock.advance(1000)
    assert world.server.attempts == attempts == 1
    return str(error), error.permanent


def test_nobody_who_listens_is_a_refusal(world):
    world.server.down = True
    world.stream.startService()
    text = "the connection was refused: check that the server runs, and its port"
    assert refusal(world) == (text, False)


@pytest.mark.parametrize(
    ("condition", "text", "permanent"),
    [
        ("conflict", "another connection has the same address (conflict)", False),
        ("resource-constraint", "the server has too much to do (resource-constraint)", False),
        ("host-gone", "the server does not serve this domain any more (host-gone)", True),
    ],
)
@pytest.mark.parametrize("up", [False, True], ids=["before it is up", "when it is up"])
def test_whatever_the_server_says_is_a_refusal(world, condition, text, permanent, up):
    world.stream.startService()
    if up:
        world.server.accept()
    else:
        world.server.send(HEADER)
    world.server.send(stream_error(condition))
    world.server.hang_up(ConnectionDone)
    assert refusal(world) == (text, permanent)


def test_a_lost_stream_is_a_refusal(world):
    world.stream.startService()
    world.server.accept()
    world.server.hang_up(ConnectionLost)
    assert refusal(world) == ("the connection was lost", False)


def test_it_stays_up_for_whoever_changes_their_mind(world):
    world.stream.startService()
    world.server.accept()
    world.stream.once = False
    world.server.hang_up(ConnectionLost)
    world.next_pause()
    assert world.refusals == []
    assert world.server.attempts == 2
