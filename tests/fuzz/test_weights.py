"""Real files of weights with a few bytes changed are read, or refused with one error."""

from __future__ import annotations

import random
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from initcli.errors import InitcliError
from initcli.limits import limited
from initcli.measuring.measure import measure
from initcli.reports.tensors import has_values
from initcli.sources.weights.read import checkpoint
from support.paths import REFERENCE

FILES = sorted(each for each in (REFERENCE / "weights").iterdir() if each.is_file())
CHANGES = 60
BYTES = (0x00, 0x7F, 0x80, 0xFF)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_changed_file_is_read_or_refused(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    chance = random.Random(zlib.crc32(file.name.encode()))
    for number in range(CHANGES):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 4))):
            place = chance.randrange(len(changed))
            flipped = changed[place] ^ 1 << chance.randrange(8)
            changed[place] = chance.choice((*BYTES, flipped))
        if chance.random() < 0.1:
            del changed[chance.randrange(len(changed)) :]
        target = tmp_path / f"{number}{file.suffix}"
        target.write_bytes(changed)
        with limited(unpacked_bytes=10**7), suppress(InitcliError):
            found = checkpoint(str(target))
            parameters = found.parameters if found else ()
            for _ in measure(filter(has_values, parameters)):
                pass
