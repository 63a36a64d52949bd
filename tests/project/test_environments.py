"""tox's environments are those that the documents name, with the versions that setup.cfg names."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read(name):
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / name, encoding="utf-8")
    return parser


TOX, SETUP = read("tox.ini"), read("setup.cfg")
PYTHONS = "py3{10,11,12,13,14}"
OTHERS = ["oldest", "coverage", "newest", "lint", "types", "docs", "wheel"]


def test_each_environment_is_in_the_list_and_has_a_section():
    # The longest first.
    expected = ["coverage", PYTHONS, *(name for name in OTHERS if name != "coverage")]
    assert TOX["tox"]["env_list"] == ", ".join(expected)
    assert TOX.sections() == ["tox", "testenv", *(f"testenv:{name}" for name in OTHERS)]


def test_the_versions_are_those_of_setup_cfg():
    requirements = SETUP["options"]["install_requires"]
    [twisted] = re.findall(r"^twisted\[tls\] *>= *([\d.]+)$", requirements, re.MULTILINE)
    assert TOX["testenv:oldest"]["deps"] == f"twisted == {twisted}.*"
    assert TOX["testenv:newest"]["deps"] == f"twisted >= {twisted}.dev0"
    python = SETUP["options"]["python_requires"].removeprefix(">=")
    assert TOX["testenv:oldest"]["base_python"] == "py" + python.replace(".", "")


def test_each_python_that_is_promised_is_tested():
    promised = re.findall(r":: 3\.(\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    assert promised
    assert set(promised) <= set(re.findall(r"\d\d", PYTHONS))


def test_contributors_are_told_of_each_environment():
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^``(\w+)``(?: to ``py314``)? +\w", text, re.MULTILINE)
    assert [row for row in rows if row in OTHERS] == OTHERS
    assert "``py310`` to ``py314``" in text


def test_documents_name_environments_that_exist():
    for name in ("CONTRIBUTING.rst", "docs/releasing.rst"):
        commands = re.findall(r"tox -e ([\w,]+)", (ROOT / name).read_text(encoding="utf-8"))
        assert commands
        named = {one for command in commands for one in command.split(",")}
        assert named <= {*OTHERS, "py310", "py311", "py312", "py313", "py314"}
