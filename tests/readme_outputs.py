"""The README's commands, and what they print.

``python tests/readme_outputs.py`` runs every command of the README's ``console`` blocks in the root
of the checkout, writes what each prints below it, and draws the pictures anew.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from initcli.checks import known_checks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURES = ROOT / ".github" / "pictures"
COMPARISON = (
    "initcli compare sample_configs/mlp_relu_deep.yaml"
    " --kernel-initializer he_normal,glorot_uniform,orthogonal --activation relu,tanh"
)
TOOLS = ("jq", "yq", "xargs", "parallel")
"""What the README's commands use beside initcli and a shell's own."""
_CHECKS = re.compile(r"\| code \| finds \| severity \|\n(?:\|.*\n)*")
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands(readme: str) -> list[str]:
    """Every command of the README's console blocks."""
    return [
        line[2:]
        for block in _BLOCK.findall(readme)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def missing_tools(command: str) -> list[str]:
    """Those of the tools that a command pipes into which are not installed here."""
    named = set(re.findall(r"[\w-]+", command))
    return [tool for tool in TOOLS if tool in named and shutil.which(tool) is None]


def with_outputs(readme: str) -> str:
    """The README with what its commands print now, and the checks that there are.

    A block with a command whose tools are not installed stays as it is.
    """

    def block(match: re.Match[str]) -> str:
        if any(map(missing_tools, commands(match[0]))):
            return match[0]
        shown = [f"$ {command}\n{output(command)}" for command in commands(match[0])]
        return f"```console\n{''.join(shown)}```"

    rows = (
        f"| {code} | {check.title().rstrip('.')} | {check.severity} |\n"
        for code, check in known_checks().items()
    )
    table = f"| code | finds | severity |\n| --- | --- | --- |\n{''.join(rows)}"
    return _CHECKS.sub(lambda _: table, _BLOCK.sub(block, readme))


def output(command: str) -> str:
    """What a command prints to its two streams, on 80 columns and without color."""
    scripts = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_configs", Path(folder) / "sample_configs")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
    # Editors take spaces off the ends of lines, and so does this page.
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def terminal_svg() -> str:
    """The summary of the tour in a terminal of 130 columns, as SVG."""
    from rich.console import Console

    import initcli
    from initcli.render.table import summary_table

    model = initcli.load(str(ROOT / "sample_configs" / "tour.yaml"))
    console = Console(width=130, record=True, file=io.StringIO(), highlight=False)
    console.print(summary_table(model, initcli.summarize(model), width=130))
    return console.export_svg(title="initcli summary tour.yaml", unique_id="initcli")


def page_png(folder: Path) -> bytes:
    """A tensor in the page of the tour, in a window of 1,100 × 720 pixels."""
    from playwright.sync_api import sync_playwright

    from support.browser import launch

    output(f"initcli hist sample_configs/tour.yaml --html --out '{folder}'")
    with sync_playwright() as driver:
        browser = launch(driver)
        size = {"width": 1100, "height": 720}
        page = browser.new_page(viewport=size, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{(folder / 'index.html').as_uri()}#t=dense_1/kernel")
        page.wait_for_selector("dialog[open]")
        picture: bytes = page.screenshot()
        browser.close()
    return picture


def main() -> None:
    """Write the README and its pictures anew."""
    README.write_text(with_outputs(README.read_text("utf-8")), "utf-8")
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "summary.svg").write_text(terminal_svg(), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        output(f"initcli hist sample_configs/tour.yaml --out '{folder}'")
        shutil.copy(Path(folder) / "overview.png", PICTURES / "overview.png")
        output(f"{COMPARISON} --out '{folder}/compare.png'")
        shutil.copy(Path(folder) / "compare.png", PICTURES / "compare.png")
        (PICTURES / "page.png").write_bytes(page_png(Path(folder) / "page"))


if __name__ == "__main__":
    main()
