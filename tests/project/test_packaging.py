"""What is built and installed: the wheel, the sdist, the plugin, an editable install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.support.processes import IN_CI
from twisted import plugin
from twisted_oob import __version__

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "twisted/plugins/twisted_oob_plugin.py"
TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "*dropin.cache*"
)
# What only a clone of the repository needs.
NOT_IN_SDIST = {".ci/run", ".ci/try_wheel.py", ".gitignore", ".pre-commit-config.yaml"}
# What setuptools adds.
ONLY_IN_SDIST = re.compile(r"PKG-INFO|twisted_oob\.egg-info/.*")


def run(*command, cwd):
    # What is installed is looked at, not what the caller's shell adds to it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments, cwd):
    pip_ = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    return run(*pip_, *arguments, cwd=cwd)


def isolation():
    """Build with what is installed if it can build a wheel by itself: it's faster."""
    try:
        major, minor = version("setuptools").split(".")[:2]
    except PackageNotFoundError:
        return ()
    return ("--no-build-isolation",) if (int(major), int(minor)) >= (70, 1) else ()


def copy_of_the_tree(path):
    return shutil.copytree(ROOT, path, ignore=NOT_COPIED)


def files_in_git(*options):
    """Give the names of files as ``git ls-files`` does, without those that are deleted."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    names = run("git", "ls-files", "-z", *options, cwd=ROOT).split("\0")
    return {name for name in names if name and (ROOT / name).exists()}


def packages(tree):
    """Give what setup.cfg should list: each folder of modules, and that of the plugin."""
    folders = {path.parent.relative_to(tree) for path in (tree / "twisted_oob").rglob("*.py")}
    return {".".join(folder.parts) for folder in folders} | {"twisted.plugins"}


def listed_packages(tree):
    setup = ConfigParser()
    setup.read(tree / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["packages"].split("\n")
    return {line.strip() for line in lines if line.strip()}


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def build_wheel(source, folder):
    pip("wheel", "--no-deps", *isolation(), "--wheel-dir", folder, source, cwd=folder.parent)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_of_the_tree(folder / "tree"), folder / "built")


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    code = "import setuptools.build_meta as backend; print(backend.build_sdist('..'))"
    printed = run(sys.executable, "-c", code, cwd=copy_of_the_tree(folder / "tree"))
    return folder / printed.splitlines()[-1]


def contents_of_sdist(sdist):
    with tarfile.open(sdist) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {file.name.split("/", 1)[1]: archive.extractfile(file).read() for file in files}


class Environment:
    """A virtual environment with all that is installed here, but nothing of this project.

    Twisted is copied into it, with Wokkel's plugin, since the plugins share its folder. The
    rest is reached by its path alone, which leaves out what is installed here as editable.
    """

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        site = run(
            self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        )
        self.site = Path(site.strip())
        self.plugins = self.site / "twisted" / "plugins"
        shutil.copytree(
            Path(plugin.__file__).parent,
            self.site / "twisted",
            ignore=shutil.ignore_patterns(
                "__pycache__", "test", "dropin.cache", "twisted_oob_plugin.py"
            ),
        )
        here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.site / "dependencies.pth").write_text("\n".join(here), encoding="utf-8")
        self.outside = folder / "outside"
        self.outside.mkdir()

    def pip(self, *arguments):
        pip("--python", self.python, *arguments, cwd=self.outside)

    def install(self, wheel):
        # Beside the dependencies, pip finds this project's editable install, and would leave it.
        self.pip("install", "--ignore-installed", "--no-deps", "--no-index", wheel)

    def run(self, code, *arguments):
        return run(self.python, "-c", code, *arguments, cwd=self.outside)

    def service_names(self):
        return self.run(
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "print(*(maker.tapname for maker in getPlugins(IServiceMaker)))"
        ).split()

    def own_plugins(self):
        return {path.name for path in self.plugins.glob("*.py")}


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment


def test_every_folder_of_modules_is_listed():
    assert listed_packages(ROOT) == packages(ROOT)


def test_a_new_folder_of_modules_has_to_be_listed(tmp_path):
    tree = copy_of_the_tree(tmp_path / "tree")
    room = tree / "twisted_oob" / "wing" / "room"
    room.mkdir(parents=True)
    (room / "new.py").write_text("")
    assert packages(tree) - listed_packages(tree) == {"twisted_oob.wing.room"}


def test_wheel_holds_every_module_the_plugin_and_nothing_else(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "twisted_oob").rglob("*.py")}
    names = set(contents(wheel))
    information = {name for name in names if ".dist-info/" in name}
    assert names - information == {*modules, "twisted_oob/py.typed", PLUGIN}
    assert "LICENSE" in {name.rsplit("/", 1)[-1] for name in information}


def test_sdist_holds_what_git_tracks(sdist):
    tracked, new = files_in_git(), files_in_git("--others", "--exclude-standard")
    assert tracked >= NOT_IN_SDIST
    names = {name for name in contents_of_sdist(sdist) if not ONLY_IN_SDIST.fullmatch(name)}
    assert names - new == tracked - NOT_IN_SDIST


def test_sdist_changes_no_file(sdist):
    for name, data in contents_of_sdist(sdist).items():
        # setuptools writes a section of its own into setup.cfg.
        if not ONLY_IN_SDIST.fullmatch(name) and name != "setup.cfg":
            assert data == (ROOT / name).read_bytes(), name


def test_sdist_makes_the_same_wheel(wheel, sdist, tmp_path):
    assert contents(build_wheel(sdist, tmp_path / "built")) == contents(wheel)


def test_installed_plugin_is_found_outside_the_tree(installed):
    where = installed.run("import twisted_oob; print(twisted_oob.__file__)")
    assert Path(where.strip()).parent == installed.site / "twisted_oob"
    names = installed.service_names()
    assert names.count("oob-responder") == 1
    assert {"web", "wokkel-component-server"} & set(names)


def test_the_installed_command_is_there_and_tells_how_the_service_is_started(installed):
    oob = installed.folder / "bin" / "oob"
    assert run(oob, "--version", cwd=installed.outside) == f"oob {__version__}\n"
    assert "twistd -n oob-responder" in run(oob, "--help", cwd=installed.outside)


@IN_CI
def test_uninstall_leaves_the_plugins_of_others(wheel, tmp_path):
    environment = Environment(tmp_path / "environment")
    before = environment.own_plugins()
    assert {"twisted_core.py", "server.py"} <= before
    environment.install(wheel)
    assert environment.own_plugins() == {*before, "twisted_oob_plugin.py"}
    assert "oob-responder" in environment.service_names()
    environment.pip("uninstall", "--yes", "twisted_oob")
    assert environment.own_plugins() == before
    assert not (environment.site / "twisted_oob").exists()
    names = environment.service_names()
    assert "web" in names
    assert "oob-responder" not in names


@IN_CI
def test_editable_install_shows_the_plugin_to_twistd(tmp_path):
    tree = copy_of_the_tree(tmp_path / "tree")
    environment = Environment(tmp_path / "environment")
    environment.pip("install", "--no-deps", *isolation(), "--editable", tree)
    where = environment.run("import twisted_oob; print(twisted_oob.__file__)")
    assert Path(where.strip()).parent == tree / "twisted_oob"
    assert "oob-responder" in environment.run(TWISTD, "--help").split()


def test_demo_of_the_installed_wheel(installed):
    output = installed.run(TWISTD, "-n", "oob-responder", "--demo")
    assert output.splitlines()[-1] == "demo: 5 of 5 as expected"
    assert list(installed.outside.iterdir()) == []
