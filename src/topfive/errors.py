"""Every exception of topfive, the words that their sentences share, and the one way to look a name up in a table.

A message is one sentence: where; what was expected; what was found; what to do. The command line prints it as it
stands and exits with the class's `exit_code` (1 failed, 2 misused).
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

MANY = 30  # names are too many to be listed in a sentence


class TopfiveError(Exception):
    """Anything a user can mend: bad input, a full disk, a name that does not exist."""

    exit_code = 1


class BadShape(TopfiveError):
    """A tensor of the wrong shape or type."""


class BadData(TopfiveError):
    """A folder or file that is not a usable image set."""


class BadFile(TopfiveError):
    """One file that cannot be read or written: an image, a model file, a scores file, a checkpoint."""


class BadRecipe(TopfiveError):
    """A recipe with an unknown key, a wrong type or a value out of range."""

    exit_code = 2


class Misused(TopfiveError):
    """Arguments that contradict each other or what they are applied to."""

    exit_code = 2


class UnknownName(Misused):
    """A name that is in no table."""


class Diverged(TopfiveError):
    """Training met a loss that is not a finite number."""


class Interrupted(TopfiveError):
    """The user stopped a run with Ctrl-C; its state is saved and can be resumed."""

    exit_code = 130


class MissingExtra(TopfiveError):
    """An optional library is needed and not installed."""


def listed(names: Sequence[str]) -> str:
    """Names as English lists them.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' for the known name nearest to a mistyped one, or an empty string.

    >>> nearest("lenet", ["lenet5", "alexnet"])
    ' (did you mean lenet5?)'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def look_up(name: str, table: Mapping[str, T], kind: str) -> T:
    """table[name], or UnknownName that suggests the nearest name and lists all, or of many some like it."""
    if name in table:
        return table[name]
    like = list(table) if len(table) <= MANY else difflib.get_close_matches(name, list(table), n=5, cutoff=0.3)
    known = f"; known: {', '.join(like)}" if len(table) <= MANY else f"; like it: {', '.join(like)}"
    if not like:
        known = f", nor one like it among the {len(table)}; topfive list names the entries"
    raise UnknownName(f"there is no {kind} named {name!r}{nearest(name, table)}{known}")
