"""A reader of a new format is one class that nothing else needs to be told of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from initcli.errors import InvalidSpec
from initcli.sources.read import read
from initcli.sources.reader import Source
from initcli.sources.readers import known_readers

NEW_READER = """
import sys
from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source

class Widths(Reader):
    suffixes = (".widths",)

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"widths ")

    def read(self, source: Source) -> Document:
        first, *rest = map(int, source.text.split()[1:])
        data = {"input_shape": [first], "layers": [{"type": "Dense", "units": n} for n in rest]}
        return Document(source.name, source.text, data, dict, dialect="widths")

from initcli.cli.app import app
app(sys.argv[1:])
"""


def test_a_new_reader_is_found_with_no_other_edit(tmp_path: Path) -> None:
    (tmp_path / "net.widths").write_text("widths 3 4 5")
    (tmp_path / "bad.widths").write_text("widths 3")
    command = [sys.executable, "-c", NEW_READER, "summary", "--theory", "--format", "json"]
    done = subprocess.run(
        [*command, "net.widths"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["model"]["source"] == "widths"
    assert report["tensors"][2]["path"] == "dense_1/kernel"
    bad = subprocess.run(
        [*command, "bad.widths"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert bad.stderr == "bad.widths:1:1: `layers` is empty\n  1 | widths 3\n      ^\n"
    missing = subprocess.run(
        [*command, "nett.widths"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "did you mean 'net.widths'?" in missing.stderr


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04\0", b"\x89HDF\r\n\x1a\n\0", b'{"class_name": "x"}']
)
def test_a_format_is_recognized_by_one_reader_at_most(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(content)
    with file.open("rb") as stream:
        source = Source(str(file), stream)
        assert sum(reader.recognizes(source) for reader in known_readers()) == 1
    with pytest.raises(InvalidSpec):
        read(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# a\n" * 3000 + b"name: caf\xe9\n", "line 3001 is not UTF-8"),
        (b"# a\n" * (2 * 2**20 + 1), "a spec may have at most"),
    ],
)
def test_content_behind_the_head_is_seen_by_whoever_reads_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidSpec, match=message):
        read(str(file))
