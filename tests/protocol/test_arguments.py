"""Arguments of the wrong type or value: an error that names them."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_oob import InvalidOOBData, OOBData, OOBHandler, url_from_element
from twisted_oob._checks import checked_count, checked_seconds
from twisted_oob.errors import WrongType

TYPES = [
    ({"on_offer": "https://files.example/"}, "on_offer must be callable or None, not str"),
    ({"on_offer": 0}, "on_offer must be callable or None, not int"),
    ({"on_message": []}, "on_message must be callable or None, not list"),
    ({"timeout": "5"}, "timeout must be a number of seconds or None, not str"),
    ({"timeout": True}, "timeout must be a number of seconds or None, not bool"),
    ({"timeout": [1]}, "timeout must be a number of seconds or None, not list"),
    ({"answer_timeout": "5"}, "answer_timeout must be a number of seconds or None, not str"),
    ({"answer_timeout": False}, "answer_timeout must be a number of seconds or None, not bool"),
    ({"max_open_offers": 1.0}, "max_open_offers must be an int, not float"),
    ({"max_open_offers": "10"}, "max_open_offers must be an int, not str"),
    ({"max_open_offers": None}, "max_open_offers must be an int, not NoneType"),
    ({"gate": ["me"]}, "gate must be a Gate, which has a method judge, or None, not list"),
    ({"direct": "no"}, "direct must be True or False, not str"),
    ({"max_open_offers": True}, "max_open_offers must be an int, not bool"),
]
VALUES = [
    *(({name: value}, name) for name in ("timeout", "answer_timeout") for value in (0, -1, -0.0)),
    ({"timeout": float("nan")}, "timeout"),
    ({"max_open_offers": 0}, "max_open_offers"),
    ({"max_open_offers": -5}, "max_open_offers"),
]


@pytest.mark.parametrize(("argument", "told"), TYPES, ids=str)
def test_an_argument_of_the_wrong_type_is_a_type_error(argument, told):
    with pytest.raises(TypeError) as caught:
        OOBHandler(**argument, reactor=Clock())
    assert str(caught.value) == told


@pytest.mark.parametrize(("argument", "name"), VALUES, ids=str)
def test_an_argument_of_the_wrong_value_is_a_value_error(argument, name):
    with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
        OOBHandler(**argument, reactor=Clock())
    assert not isinstance(caught.value, TypeError)


def test_who_catches_what_cannot_be_sent_catches_a_wrong_type():
    with pytest.raises(InvalidOOBData):
        raise WrongType


@pytest.mark.parametrize("seconds", [None, 1, 0.001, 10**9, float("inf")])
def test_seconds_are_given_back(seconds):
    assert checked_seconds("it", seconds) is seconds


@pytest.mark.parametrize("count", [1, 1000, 10**9])
def test_a_count_is_given_back(count):
    assert checked_count("it", count) == count


@pytest.mark.parametrize("read", [OOBData.from_element, url_from_element])
@pytest.mark.parametrize("given", [None, "<query xmlns='jabber:iq:oob'/>"])
def test_what_is_no_element_is_a_type_error_that_names_it(read, given):
    with pytest.raises(TypeError, match=r"^element must be an Element, not "):
        read(given)
