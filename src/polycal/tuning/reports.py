"""Where a training is shown while it runs: Weights & Biases, TensorBoard and others."""

import os
from collections.abc import Sequence
from pathlib import Path

from transformers.integrations import get_reporting_integration_callbacks

from polycal.errors import InputError


def prepare_reports(names: Sequence[str], folder: Path) -> None:
    """Find out before a training whether transformers can report to all of these.

    Args:
        names: as `report_to` of transformers' TrainingArguments takes them.
        folder: of TensorBoard's files, which the Trainer would lay beside checkpoints
            that do not stay; the environment's TENSORBOARD_LOGGING_DIR goes first.

    Raises:
        InputError: a name is not known, or its package is not installed.
    """
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder))
    for name in names:
        try:
            for callback in get_reporting_integration_callbacks([name]):
                callback()
        except ValueError as error:
            raise InputError(f"report_to: {error}") from None
        except (ImportError, RuntimeError) as error:
            raise InputError(
                f"report_to: {name} cannot be used here ({error}); install its package "
                "in this environment, or leave it out"
            ) from None
