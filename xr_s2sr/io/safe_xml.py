"""One XML file of a SAFE product, read once; its elements are found by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

from xr_s2sr.errors import ProductError
from xr_s2sr.io.safe_files import Files


class _Builder(ElementTree.TreeBuilder):
    """Refuses what could make a small file expand: ESA's metadata declare no document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
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
        for name in names:
            yield from self._elements.get(name, [])

    def text(self, *names: str) -> str | None:
        """Return the text of the first element of these names that has one."""
        return next((e.text.strip() for e in self.all(*names) if e.text and e.text.strip()), None)

    def required(self, *names: str) -> str:
        text = self.text(*names)
        if text is None:
            raise ProductError(f"{self.where} has no <{names[0]}>; expected one. Download the product again")
        return text

    def number(self, *names: str) -> float:
        return self.as_number(self.required(*names), names[0])

    def positive(self, *names: str) -> float:
        value = self.number(*names)
        if value <= 0:
            raise ProductError(f"{self.where} says <{names[0]}> {value:g}; expected a number above 0, such as 10000")
        return value

    def as_number(self, text: str | None, name: str) -> float:
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ProductError(f"{self.where} says <{name}> {text!r}; expected a number. Download the product again")
        return value


def local_name(tag: str) -> str:
    return tag.rpartition("}")[2]
