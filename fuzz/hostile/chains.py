"""Chains of gadgets in XML."""

from __future__ import annotations

from pathlib import Path

from hostile.entering import hostile

CHAIN = "<configuration><version>2</version><stream>{}</stream></configuration>"
GADGET = (
    "<gadget><dll>x</dll><classname>ExtractGadget</classname><name>{}</name><property name='a' value='{}'/></gadget>"
)


@hostile("chain")
def a_chain_of_references(folder: Path) -> Path:
    path = folder / "c.xml"
    gadgets = "".join(GADGET.format(f"g{n}", f"a@g{n + 1}" if n < 2000 else "1") for n in range(2001))
    path.write_text(CHAIN.format(gadgets))
    return path


@hostile("chain")
def a_chain_of_deep_elements(folder: Path) -> Path:
    path, node = (
        folder / "c.xml",
        "<external><execute name='nilatron.pipelines.node' target='nila' type='python'/>{}</external>",
    )
    deep = "<configuration>" + "<a>" * 100_000 + "</a>" * 100_000 + "</configuration>"
    path.write_text(CHAIN.format(node.format(deep)))
    return path


@hostile("chain")
def a_chain_that_laughs(folder: Path) -> Path:
    path = folder / "c.xml"
    laugh = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(n)} "{f"&{chr(n - 1)};" * 10}">' for n in range(ord("b"), ord("k"))
    )
    path.write_text(laugh + "]>" + CHAIN.format("&j;"))
    return path


@hostile("chain")
def a_chain_of_other_letters(folder: Path) -> Path:
    path = folder / "c.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="utf-32"?>' + CHAIN.encode())
    return path
