"""What is built from the checkout: a source archive, and a wheel that runs anywhere, silently."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import typing
import zipfile
from pathlib import Path

import pytest
import typer
import yaml

import initcli
from initcli.cli.app import app
from support.paths import REFERENCE, ROOT, TOUR

WEIGHTS = REFERENCE / "weights" / "safetensors.safetensors"

PACKAGE = ROOT / "initcli"

# They are run under `-W error`; the paths that draw and write differ most between versions.
COMMANDS = [
    "summary tour.yaml --jobs 2",
    "hist tour.yaml --out plots --html",
    "export tour.yaml --out tour.npz",
    "export tour.yaml --out tour.safetensors",
    "signal tour.yaml --out signal.svg --html plots",
    "compare tour.yaml --defaults keras,torch --draws 2",
    "check tour.yaml --html plots",
    "identify weights.safetensors",
    "diff tour.yaml weights.safetensors",
    "help spec",
    "catalog",
    "schema",
    "init",
]


def python(*arguments: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What a Python to which every warning is an error prints.

    ``path`` comes before what is installed.
    """
    strict = ["-W", "error", "-X", "dev"]
    environment = {**os.environ, "PYTHONUTF8": "1", "COLUMNS": "80"}
    environment |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        [sys.executable, *strict, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A warning where nothing can be raised, as in a destructor, is only printed.
    assert all(line.startswith("initcli: ") for line in done.stderr.splitlines()), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that is built from it, not the checkout."""
    folder = tmp_path_factory.mktemp("built")
    # Without isolation no network is asked, and the tests' own hatchling builds.
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def source_archive(built: Path) -> Path:
    (file,) = built.glob("*.tar.gz")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed; to compile it raises no warning."""
    target = tmp_path_factory.mktemp("installed")
    # What it needs is there already.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", target, wheel], check=True)
    python("-m", "compileall", "-q", "initcli", cwd=target)
    return target


def package_files() -> set[str]:
    """What the wheel has to hold of the package, as paths with slashes."""
    files = {path for path in PACKAGE.rglob("*") if path.is_file()}
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix != ".md" and path.parent.name != "__pycache__"
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if name.startswith(f"initcli-{initcli.__version__}.dist-info/")}
    assert names - about == package_files()
    assert "initcli/py.typed" in names
    # A kind of file that is new in the package is data that a command reads: say so here.
    suffixes = {Path(name).suffix for name in names - about}
    assert suffixes <= {".py", ".pyi", ".typed", ".j2", ".css", ".js", ".json"}


def test_the_source_archive_holds_what_the_tests_need_and_nothing_else(
    source_archive: Path,
) -> None:
    with tarfile.open(source_archive) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    outside = {name for name in names if not name.startswith(("initcli/", "tests/"))}
    samples = {path.relative_to(ROOT).as_posix() for path in TOUR.parent.rglob("*.*")}
    pictures = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(".github/pictures/*")}
    assert outside == samples | pictures | {
        ".ci/run",
        ".gitignore",  # hatchling's own habit
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
    }
    assert package_files() <= names
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert tests <= names
    assert not [name for name in names if "__pycache__" in name or "/." in name]


def test_the_metadata_say_what_the_project_is(installed: Path) -> None:
    (found,) = importlib.metadata.distributions(path=[str(installed)])
    metadata = found.metadata
    assert metadata["Name"] == "initcli"
    assert metadata["Version"] == initcli.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Summary"]
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL") or []} >= {"Source"}
    assert found.read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    assert metadata["Description"].strip() == readme.strip()


def test_ci_runs_every_python_that_is_claimed(installed: Path) -> None:
    (found,) = importlib.metadata.distributions(path=[str(installed)])
    classifiers = "\n".join(found.metadata.get_all("Classifier") or [])
    claimed = re.findall(r"Python :: (3\.\d+)", classifiers)
    assert claimed[0] == found.metadata["Requires-Python"].removeprefix(">=")
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if not workflow.exists():
        pytest.skip("the workflow is no part of the source archive")
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    for job in ("newest", "lowest"):
        assert jobs[job]["strategy"]["matrix"]["python"] == claimed


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    command = shutil.which("initcli", path=str(installed / "bin"))
    assert command
    shown = subprocess.run(
        [command, "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"initcli {initcli.__version__}\n"


def test_every_module_is_in_the_wheel_and_imported_without_a_warning(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "import importlib, pkgutil, re, initcli\n"
        "for module in pkgutil.walk_packages(initcli.__path__, 'initcli.'):\n"
        "    if not {'torch', 'jax', 'numba'} & set(re.split('[._]', module.name)):  # installed?\n"
        "        importlib.import_module(module.name)\n"
        "print(initcli.__file__)"
    )
    shown = python("-c", code, cwd=tmp_path, path=installed)
    assert Path(shown.strip()) == installed / "initcli" / "__init__.py"


def test_every_command_is_tried_below() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == {command.split()[0] for command in COMMANDS}


def test_the_installed_commands_run_far_from_the_checkout_and_warn_of_nothing(
    installed: Path, tmp_path: Path
) -> None:
    shutil.copy(TOUR, tmp_path)
    shutil.copy(WEIGHTS, tmp_path / "weights.safetensors")
    code = (
        "import sys\nfrom initcli.cli.app import app\n"
        "for command in sys.argv[1:]:\n"
        "    status = app(command.split(), 'initcli', standalone_mode=False)\n"
        "    assert not status, command\n"
    )
    python("-m", "initcli", *COMMANDS[0].split(), cwd=tmp_path, path=installed)
    python("-c", code, *COMMANDS[1:], cwd=tmp_path, path=installed)


def test_a_path_in_place_of_a_model_is_an_error_that_names_load() -> None:
    path: typing.Any = "sample_configs/tour.yaml"
    for function in (
        initcli.summarize, initcli.theory, initcli.measure_signal, initcli.predict_signal,
        initcli.check,
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"a model is needed, not str: initcli\.load"):
            function(path)
    with pytest.raises(TypeError, match="pairs of a label and a model"):
        initcli.compare([initcli.load(path)])  # type: ignore[list-item]


def test_public_names_can_be_completed() -> None:
    assert {"summarize", "load", "__version__"} <= set(dir(initcli))
