"""Start of the commands: the script `vmaf-train`, and `python -m vmaf_train` without it."""

import sys

from vmaf_train import signals


def run() -> None:
    """Run the command line as a process."""
    signals.install()
    try:
        # Imported here, so that a signal during its imports is taken, too.
        from vmaf_train.cli import run_app

        run_app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(signals.INTERRUPTED)


if __name__ == "__main__":
    run()
