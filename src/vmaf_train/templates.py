"""Load Jinja templates; each is in the folder of the module that fills it."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(package: str, name: str) -> Template:
    """Load a template from the folder of a package.

    Rendering it raises jinja2.UndefinedError if a value that it names is not passed.

    Args:
        package: name of the package, e.g. "vmaf_train.shipping".
        name: file name of the template.
    """
    environment = Environment(
        loader=PackageLoader(package, ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
