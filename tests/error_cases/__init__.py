"""Cases that provoke every error message of the program: what is typed, and what is wrong.

Most are lines of ``written.yaml``. The others need files other than a spec, a cause outside of all
files, such as a full disk, or a call from Python where no command leads there.
"""

from __future__ import annotations

from error_cases import causes, code, huggingface, specs, weights
from error_cases.case import DENSE, Case

__all__ = ["CASES", "DENSE", "Case"]

CASES = (
    *specs.of_yaml(),
    *specs.of_texts(),
    *specs.of_archives(),
    *specs.of_keras(),
    *specs.of_functions(),
    *code.of_code(),
    *huggingface.of_configurations(),
    *causes.of_signals(),
    *causes.of_writing(),
    *causes.of_files(),
    *causes.of_workers(),
    *weights.cases(),
)
