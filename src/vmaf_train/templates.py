"""Jinja templates that lie in a folder of the package, beside the module that fills them."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(package: str, name: str) -> Template:
    """Load a template from a package's folder.

    A value that the template names and the caller does not pass raises jinja2.UndefinedError.

    Args:
        package: e.g. "vmaf_train.shipping".
        name: file name of the template.
    """
    environment = Environment(
        loader=PackageLoader(package, ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
