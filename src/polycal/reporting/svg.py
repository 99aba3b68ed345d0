"""An SVG file of matplotlib as a part of an HTML page."""

import re
from pathlib import Path
from xml.etree import ElementTree

from polycal.errors import InputError

# Metadata names hosts on the net, and a style sheet inside one figure would hold for
# the whole page: the page's own style says the same for all figures.
_DROPPED = {"metadata", "style"}
# What the page says once for all figures, and what nobody sees.
_SUPERFLUOUS = re.compile(r" ?font-family: [^;]*;?|rotate\(-0 [^)]*\)")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_AROUND = re.compile(r" ?([A-Za-z]) ?")  # spaces beside the commands of a path
_URL, _LINK = re.compile(r"(url\(#)([^)]+)"), re.compile(r"^(#)(.+)")


def inline(path: Path, *, prefix: str, text: str) -> str:
    """The `<svg>` element of a file, fit to stand beside others in one HTML page.

    Ids that something refers to become short ones, and all others go, so that no two
    figures share one. Namespaces go too, as HTML has none, and the family of the font,
    which is the page's to set. Coordinates are rounded to 1/10 point, and
    those within a marker to 1/100.

    Args:
        path: the SVG file.
        prefix: what makes the ids differ from those of other figures.
        text: what a reader hears who cannot see the figure.

    Raises:
        InputError: the file is not SVG.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not SVG ({error}); draw it again") from error
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in _DROPPED:
                element.remove(child)
    used: dict[str, str] = {}

    def rename(found: re.Match) -> str:
        new = used.setdefault(found[2], f"{prefix}-{len(used)}")
        return f"{found[1]}{new}"

    for element in root.iter():
        element.tag = _local(element.tag)
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            pattern = _LINK if _local(name) == "href" else _URL
            value = _DECIMAL.sub(_round, value)
            value = _SUPERFLUOUS.sub("", value).replace("  ", " ").strip()
            if name == "d":
                value = _AROUND.sub(r"\1", value)
            if value:
                element.set(_local(name), pattern.sub(rename, value))
    for element in root.iter():
        if element.tag != "text" and not (element.text or "").strip():
            element.text = None
        element.tail = (element.tail or "").strip() or None
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", used[own])
    _share(root)
    root.set("role", "img")
    root.set("aria-label", text)
    return ElementTree.tostring(root, encoding="unicode")


def _round(found: re.Match) -> str:
    """A number with as many digits as one can see."""
    value = float(found[0])
    return f"{value:.{1 if abs(value) >= 10 else 2}f}".rstrip("0").rstrip(".")


def _share(element: ElementTree.Element) -> None:
    """Say once for a group what all its marks say, and drop groups that say nothing."""
    for child in element:
        _share(child)
    children = list(element)
    if element.tag == "g" and len(children) > 1:
        for name in ("style", "clip-path"):
            said = {child.get(name) for child in children}
            marks = all(child.tag in ("use", "path") for child in children)
            if marks and len(said) == 1 and None not in said and not element.get(name):
                element.set(name, said.pop())
                for child in children:
                    del child.attrib[name]
    kept = []
    for child in children:
        silent = child.tag == "g" and not child.attrib
        kept += list(child) if silent else [child]
    element[:] = kept


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
