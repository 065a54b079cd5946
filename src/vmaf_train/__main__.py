"""`python -m vmaf_train`: the same commands as `vmaf-train`, from the checkout at hand."""

from vmaf_train.cli import run

if __name__ == "__main__":
    run()
