"""The classes of the Challenge from 2012 on: 1,000 WordNet synsets in the order of their ids, which scores follow."""

from importlib import resources

from topfive.data.imageset import ClassLabel


def challenge_classes() -> tuple[ClassLabel, ...]:
    """The 1,000 classes; the key is the wnid, the name the first of the synset's words.

    >>> challenge_classes()[0]
    ClassLabel(key='n01440764', name='tench')
    """
    text = (resources.files("topfive.data") / "ilsvrc2012.txt").read_text(encoding="utf-8")
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return tuple(ClassLabel(wnid, words.split(",")[0]) for wnid, words in pairs)
