"""`python -m vmaf_train`: the same commands as `vmaf-train`, without an installed script."""

from vmaf_train.cli import run

if __name__ == "__main__":
    run()
