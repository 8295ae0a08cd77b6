"""One XML file of a SAFE product, read once; its elements are found by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from xr_s2sr.errors import ProductError
from xr_s2sr.io.safe_files import Files

#: As ESA writes them. Python's float() takes more: "nan", "1_000", digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _Builder(ElementTree.TreeBuilder):
    """Refuses what could make a small file expand: ESA's metadata declare no document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type."""
        raise ProductError(f"it declares a DOCTYPE ({name})")


class Xml:
    """One metadata file; elements are found by name, whatever their namespace and place."""

    def __init__(self, files: Files, name: str) -> None:
        self.where = files.path(name)
        content = files.read(name)
        try:
            root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_Builder()))
        except (ElementTree.ParseError, ProductError, LookupError, ValueError) as error:
            raise ProductError(
                f"{self.where} is not metadata of a SAFE product: {error}; expected XML as ESA writes it. Download the "
                "product again"
            ) from error
        self.tag = local_name(root.tag)
        self._elements: dict[str, list[ElementTree.Element]] = {}
        for element in root.iter():
            self._elements.setdefault(local_name(element.tag), []).append(element)

    def all(self, *names: str) -> Iterator[ElementTree.Element]:
        """Yield the elements of these names."""
        for name in names:
            yield from self._elements.get(name, [])

    def text(self, *names: str) -> str | None:
        """Return the text of the first element of these names that has one."""
        return next((e.text.strip() for e in self.all(*names) if e.text and e.text.strip()), None)

    def required(self, *names: str) -> str:
        """Return the text of the first element of these names that has one; it must be there."""
        text = self.text(*names)
        if text is None:
            raise ProductError(f"{self.where} has no <{names[0]}>; expected one. Download the product again")
        return text

    def number(self, *names: str) -> float:
        """Return the number that the first of these elements holds; it must be there."""
        return self.as_number(self.required(*names), names[0])

    def quantification(self, *names: str) -> float:
        """Return the number of counts that stand for 1."""
        value = self.number(*names)
        if not 1 <= value <= 1e6:
            raise ProductError(
                f"{self.where} says <{names[0]}> {value:g}; expected a number from 1 to 1000000, such as 10000. "
                "Download the product again"
            )
        return value

    def as_number(self, text: str | None, name: str) -> float:
        """Return a number of metadata: counts, metres and percent all stay far below 10 digits."""
        number = _NUMBER.fullmatch((text or "").strip())
        value = math.nan if number is None else float(number[0])
        if not abs(value) < 1e10:
            raise ProductError(
                f"{self.where} says <{name}> {(text or '')[:40]!r}; expected a number such as 10000. Download the "
                "product again"
            )
        return value


def local_name(tag: str) -> str:
    """Return the name of an element without its namespace."""
    return tag.rpartition("}")[2]
