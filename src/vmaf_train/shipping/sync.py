"""Write the students that the registry's aliases name to the tree, under a lock.

All files of model/tiny/ are replaced at once. The model cards are made from the new tree.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from filelock import FileLock

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.files import remove_leftovers, write_whole
from vmaf_train.shipping.exchange import heal, replace_files
from vmaf_train.shipping.in_tree import SHIPPED, Promoted
from vmaf_train.shipping.tree import Tree


@contextmanager
def locked(tree: Tree) -> Iterator[None]:
    """Hold the lock of a tree; the holder can take it again.

    Take the lock before you read the aliases, so that no other sync writes newer ones in between.
    """
    path = tree.models.with_name(f".{tree.models.name}.lock").absolute()
    # One lock object per path, so that this thread does not block if it takes the lock again.
    with FileLock(path, is_singleton=True):
        yield


def write_tree(tree: Tree, promoted: Mapping[str, Promoted]) -> list[str]:
    """Write the students of the aliases; a place without an alias keeps its files.

    Args:
        tree: the checkout.
        promoted: student of each alias.

    Returns:
        One line per file that was written or removed, with its path below the checkout.

    Raises:
        VmafTrainError: a place is damaged and no alias names a student for it.
        InputError: the folder cannot be written.
    """
    with locked(tree):
        heal(tree.models)
        remove_leftovers(tree.cards)
        _refuse_damage(tree, promoted)
        return [*_write_models(tree, promoted), *_write_cards(tree)]


def _refuse_damage(tree: Tree, promoted: Mapping[str, Promoted]) -> None:
    damaged = [row.id for row in SHIPPED if row.alias not in promoted and tree.is_damaged(row)]
    if damaged:
        raise VmafTrainError(
            f"{', '.join(damaged)} in {tree.models} is damaged "
            "and the registry has no alias for it; "
            "restore it with: git checkout -- model/tiny"
        )


def _write_models(tree: Tree, promoted: Mapping[str, Promoted]) -> list[str]:
    wanted = tree.wanted_files(promoted)
    differing = tree.differing_files(wanted)
    if not differing:
        return []
    try:
        replace_files(tree.models, wanted, tree.managed())
    except OSError as error:
        raise InputError(
            f"cannot write {error.filename or tree.models}: {error.strerror}; "
            "model/tiny/ holds all old files or all new ones. "
            "Free some space or fix the permissions, then run: vmaf-train sync"
        ) from error
    return [f"{'wrote' if name in wanted else 'removed'} model/tiny/{name}" for name in differing]


def _write_cards(tree: Tree) -> list[str]:
    differing = tree.differing_cards()
    if differing:
        tree.cards.mkdir(parents=True, exist_ok=True)
    for name, content in differing.items():
        write_whole(tree.cards / name, content)
    return [f"wrote docs/ai/models/{name}" for name in differing]
