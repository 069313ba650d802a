"""Sessions become trained runs: `python main_01_train.py [SESSION or RUN_FOLDER ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve
from saec.session import TrainingSession
from saec.training import plan_run_folder, plan_training


def main(argv: Sequence[str] | None = None) -> int:
    what = "Sessions become trained runs; a run's folder goes on with it."
    return serve(what, "training", TrainingSession, plan_training, argv, plan_folder=plan_run_folder)


if __name__ == "__main__":
    sys.exit(main())
