"""The recipes of the documents work, each where its tool is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from documents import DOCUMENTS, missing_tools

TEXT = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
SOUND = "input_shape: [8]\nlayers: [{type: Dense, units: 8}]\n"
BROKEN = """\
input_shape: [8]
layers:
  [{type: Dense, units: 8, activation: relu, kernel_initializer: zeros}, {type: Dense, units: 1}]
"""


def block(language: str, beginning: str) -> str:
    """The block of the documents in that language with that beginning."""
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    (found,) = [each for each in blocks if each.startswith(beginning)]
    return str(found)


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    scripts = str(Path(sys.executable).parent)
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a folder of two models in it."""
    (tmp_path / "models").mkdir()
    for name in ("tour", "other"):
        (tmp_path / "models" / f"{name}.yaml").write_text(SOUND, "utf-8")
    return tmp_path


needs = pytest.mark.skipif


@needs(shutil.which("make") is None, reason="make is not installed")
def test_the_makefile_makes_pictures_anew_when_their_spec_changes(models: Path) -> None:
    (models / "Makefile").write_text(block("make", "plots/"), "utf-8")
    target = "plots/tour/overview.png"
    made = shell(f"make {target}", models)
    assert made.returncode == 0, made.stderr
    assert (models / target).is_file()
    assert "up to date" in shell(f"make {target}", models).stdout
    later = (models / target).stat().st_mtime + 10
    os.utime(models / "models" / "tour.yaml", (later, later))
    assert "initcli hist" in shell(f"make {target}", models).stdout


@needs(shutil.which("pre-commit") is None, reason="pre-commit is not installed")
@needs(shutil.which("git") is None, reason="git is not installed")
def test_the_pre_commit_hook_lets_no_broken_spec_in(models: Path) -> None:
    config = block("yaml", "# .pre-commit-config.yaml")
    (models / ".pre-commit-config.yaml").write_text(config, "utf-8")
    assert shell("git init -q && git add .", models).returncode == 0
    good = shell("pre-commit run", models)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Passed" in good.stdout
    (models / "models" / "broken.yaml").write_text(BROKEN, "utf-8")
    bad = shell("git add . && pre-commit run", models)
    assert bad.returncode == 1
    assert "I101" in bad.stdout
    assert "models/broken.yaml:3" in bad.stdout


@needs(shutil.which("bash") is None, reason="a workflow's steps are those of bash")
def test_the_workflow_annotates_findings_and_fails(models: Path) -> None:
    workflow: Any = yaml.safe_load(block("yaml", "# .github/workflows/weights.yml"))
    steps = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    install, check = steps
    assert install.startswith("pip install")
    (models / "models" / "broken.yaml").write_text(BROKEN, "utf-8")
    done = shell(check, models)
    assert done.returncode == 1
    assert re.search(
        r"^::error file=models/broken\.yaml,line=3,col=\d+,", done.stdout, re.MULTILINE
    )
    (models / "models" / "broken.yaml").unlink()
    assert shell(check, models).returncode == 0


def test_the_pytest_recipe_fails_when_an_initialization_breaks(models: Path) -> None:
    (models / "test_weights.py").write_text(block("python", "# test_weights.py"), "utf-8")
    command = (
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "  # the plugins of these tests take long to import
        f"'{sys.executable}' -m pytest -q -p no:cacheprovider test_weights.py"
    )
    good = shell(command, models)
    assert good.returncode == 0, good.stdout
    assert "2 passed" in good.stdout
    (models / "models" / "broken.yaml").write_text(BROKEN, "utf-8")
    bad = shell(command, models)
    assert bad.returncode == 1
    assert "1 failed, 2 passed" in bad.stdout
    assert "I101" in bad.stdout


def test_a_tool_that_is_missing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "initcli summary x.yaml | jq -r .a | head -3"
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "jq" else name)
    assert missing_tools(command) == ["jq"]
    assert missing_tools("cat x | head") == []
