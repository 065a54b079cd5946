"""Find a student by its name: a path, the id of a shipped model, a run id or an MLflow URI.

MLflow is imported only for a name that MLflow knows. Paths and ids are found without it.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.errors import InputError
from vmaf_train.files import read_whole
from vmaf_train.onnx_file.inference import OnnxStudent

RUN_ID = re.compile(r"[0-9a-f]{32}")
# Ids of models that were shipped once, and what to use instead.
RETIRED = {
    "vmaf_tiny_fast": "vmaf_tiny_lite with --every 3 has the same cost and a twentieth of the error"
}
# The root of the checkout that this code runs from.
CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True, eq=False)
class Found:
    """A student that was found.

    Attributes:
        student: the loaded ONNX file.
        name: name for people: the file's name without .onnx, or the arch.
        path: path of the ONNX file; None if it came from MLflow.
    """

    student: OnnxStudent
    name: str
    path: Path | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of name for a student.

    Attributes:
        words: the kind in words, for errors.
        fits: tells whether a name is of this kind.
        find: loads the student by its name; its second argument lists all kinds, for errors.
    """

    words: str
    fits: Callable[[str], bool]
    find: Callable[[str, str], Found]


def find_student(model: str, kinds: Sequence[Kind]) -> Found:
    """Load a student by its name.

    Args:
        model: the name.
        kinds: the kinds that the caller accepts; the first that fits is used.

    Raises:
        InputError: the name fits no kind, nothing has this name, or the file is not a student.
    """
    choices = _listed([kind.words for kind in kinds])
    kind = next((kind for kind in kinds if kind.fits(model)), None)
    if kind is None:
        raise InputError(f"no model {model!r}; pass {choices}")
    return kind.find(model, choices)


def _from_mlflow(address: str, choices: str) -> Found:
    from vmaf_train.onnx_file.outside import student_from_outside
    from vmaf_train.shipping.fetching import download_onnx

    student = student_from_outside(download_onnx(address), address)
    return Found(student, str(student.facts.get("arch", address)))


def _from_file(model: str, choices: str) -> Found:
    path = Path(model)
    if not path.exists():
        raise InputError(f"no file {model}; pass {choices}")
    content = read_whole(path)
    sidecar = _check_sidecar(path, content)
    # What this checkout ships needs no more than its hash.
    own = sidecar and path.resolve().parent == (CHECKOUT / "model" / "tiny").resolve()
    if own:
        return Found(OnnxStudent(content, str(path)), path.stem, path)

    from vmaf_train.onnx_file.outside import student_from_outside  # onnx takes long to import

    return Found(student_from_outside(content, str(path)), path.stem, path)


def _from_tree(model: str, choices: str) -> Found:
    """Look in model/tiny/ of the working folder, then in that of the checkout."""
    if model in RETIRED:
        raise InputError(f"{model} is no longer shipped: {RETIRED[model]}; see docs/score.md")
    places = [root / "model" / "tiny" / f"{model}.onnx" for root in (Path.cwd(), CHECKOUT)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        looked = " and ".join(map(str, places))
        raise InputError(f"no model {model}: looked for {looked}; pass {choices}")
    content = read_whole(path)
    if not _check_sidecar(path, content):
        raise InputError(f"{path} has no sidecar {path.stem}.json; restore it, or pass {choices}")
    return Found(OnnxStudent(content, str(path)), path.stem, path)


def _check_sidecar(path: Path, content: bytes) -> bool:
    """Tell whether a model has a sidecar beside it.

    Raises:
        InputError: the sidecar cannot be read, or it is of another file.
    """
    sidecar = path.with_suffix(".json")
    try:
        facts = json.loads(read_whole(sidecar))
    except FileNotFoundError:
        return False
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{sidecar} is no JSON ({error}); restore it with: git checkout -- model/tiny"
        ) from error
    # Another file can have such a name.
    if not isinstance(facts, dict) or "sha256" not in facts:
        return False
    stated, sha256 = facts["sha256"], OnnxStudent.hash_of(content)
    if stated != sha256:
        raise InputError(
            f"{path} is not the file that its sidecar is of: its sha256 is {sha256[:12]}…, "
            f"{sidecar.name} says {str(stated)[:12]}…; restore both with: "
            "git checkout -- model/tiny"
        )
    return True


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _ends_in_onnx(model: str) -> bool:
    return Path(model).suffix == ".onnx"


RUN = Kind("a run id", lambda model: bool(RUN_ID.fullmatch(model)), _from_mlflow)
REGISTERED = Kind("a models:/ URI", lambda model: model.startswith("models:/"), _from_mlflow)
LOGGED = Kind("a runs:/ URI", lambda model: model.startswith("runs:/"), _from_mlflow)
FILE = Kind("the path of an .onnx file", _ends_in_onnx, _from_file)
SHIPPED_ID = Kind("the id of a shipped model", lambda model: not _ends_in_onnx(model), _from_tree)

FOR_EVALUATE = (RUN, REGISTERED, LOGGED, FILE)
FOR_SCORE = (REGISTERED, FILE, SHIPPED_ID)
FOR_EXPORT = (RUN, REGISTERED, LOGGED, FILE, SHIPPED_ID)
