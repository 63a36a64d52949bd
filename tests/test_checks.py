"""Arguments that are not good are told at once, by their name; secrets are not shown."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_oob._checks import (
    check_clock,
    check_field_value,
    check_flag,
    check_not_empty,
    check_port,
    checked_reactor,
)


@pytest.mark.parametrize("value", ["a", " ", "ü"])
def test_a_text_is_given_back(value):
    assert check_not_empty("name", value) == value


@pytest.mark.parametrize("value", [b"hunter2", None, 1, ["hunter2"]])
def test_what_is_no_text_is_a_type_error_that_does_not_show_it(value):
    with pytest.raises(TypeError, match=r"^password must be a str, not ") as raised:
        check_not_empty("password", value)
    assert "hunter2" not in str(raised.value)


def test_an_empty_text_is_a_value_error():
    with pytest.raises(ValueError, match=r"^secret must not be empty$"):
        check_not_empty("secret", "")


@pytest.mark.parametrize("value", ["x", "!", "bot/1.0 (a; b) ~"])
def test_the_value_of_a_field_is_given_back(value):
    assert check_field_value("name", value) == value


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "a\nb", "a\n", "a\tb", "\xe4", "a\x7f", "a\0"]
)
def test_what_no_field_holds_is_a_value_error(value):
    with pytest.raises(ValueError, match=r"^name must be printable ASCII in one line, ") as raised:
        check_field_value("name", value)
    assert "\n" not in str(raised.value)


def test_a_value_of_a_field_that_is_no_text_is_a_type_error():
    with pytest.raises(TypeError, match=r"^name must be a str, not bytes$"):
        check_field_value("name", b"a")


@pytest.mark.parametrize("value", [True, False, 1, 0])
def test_a_flag_is_given_back(value):
    assert check_flag("direct_tls", value) is bool(value)


@pytest.mark.parametrize("value", ["no", 1.0, None])
def test_what_is_no_flag_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^direct must be True or False, not "):
        check_flag("direct", value)


@pytest.mark.parametrize("value", [None, 5, "reactor", object()])
def test_what_tells_no_time_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^reactor must be a reactor, not "):
        check_clock("reactor", value)
    if value is not None:
        with pytest.raises(TypeError, match=r"^reactor must be a reactor, not "):
            checked_reactor(value)


def test_a_clock_is_taken():
    check_clock("reactor", Clock())


@pytest.mark.parametrize("value", [1, 5222, 65535])
def test_a_port_is_given_back(value):
    assert check_port("port", value) == value


@pytest.mark.parametrize("value", ["5222", 5222.0, True, None])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^port must be an int, not "):
        check_port("port", value)


@pytest.mark.parametrize("value", [0, -1, 65536])
def test_a_number_that_no_port_has_is_a_value_error(value):
    with pytest.raises(ValueError, match=f"^port must be 1 to 65535, not {value}$"):
        check_port("port", value)


def test_without_a_reactor_the_global_one_is_taken():
    from twisted.internet import reactor

    clock = Clock()
    assert checked_reactor(clock) is clock
    assert checked_reactor(None) is reactor
