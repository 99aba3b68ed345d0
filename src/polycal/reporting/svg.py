"""Embed SVG files of matplotlib in an HTML page."""

import re
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from polycal.errors import InputError

# Metadata names hosts on the net, and a figure's style sheet would apply to the whole
# page, which has its own.
_DROPPED = {"metadata", "style"}
# The page sets the font of all figures, and a rotation by 0 changes nothing.
_SUPERFLUOUS = re.compile(r" ?font-family: [^;]*;?|rotate\(-0 [^)]*\)")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_AROUND = re.compile(r" ?([A-Za-z]) ?")  # spaces beside the commands of a path
_URL, _LINK = re.compile(r"(url\(#)([^)]+)"), re.compile(r"^(#)(.+)")


def inline(path: Path | BytesIO, *, prefix: str, text: str) -> str:
    """Return the `<svg>` element of a file for an HTML page with several figures.

    Ids in use become short ones, all others are removed, so no two figures share one.
    Namespaces are removed because HTML has none, and font families because the page
    sets them. Coordinates from 10 on are rounded to 1/10 point, smaller ones, such as
    those within a marker, to 1/100.

    Args:
        path: the SVG file, or its content.
        prefix: of the ids; another one for every figure of the page.
        text: read aloud by screen readers.

    Raises:
        InputError: the file is not SVG.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not SVG ({error}); draw it again") from error
    for element in list(root.iter()):
        for child in list(element):
            # The figure's own title would follow the mouse; those of marks stay.
            of_figure = element is root and _local(child.tag) == "title"
            if of_figure or _local(child.tag) in _DROPPED:
                element.remove(child)
    used: dict[str, str] = {}

    def rename(match: re.Match) -> str:
        new = used.setdefault(match[2], f"{prefix}-{len(used)}")
        return f"{match[1]}{new}"

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
    root.set("role", "img")
    root.set("aria-label", text)
    return ElementTree.tostring(root, encoding="unicode")


def _round(match: re.Match) -> str:
    value = float(match[0])
    return f"{value:.{1 if abs(value) >= 10 else 2}f}".rstrip("0").rstrip(".")


def _local(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]
