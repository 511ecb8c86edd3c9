"""The archive .zpn: everything that reads or writes one, by its public name.

header.py   what an archive says first, and whether a model fits it
block.py    images as bytes, framed and verified
footer.py   count, statistics, index
writer.py   one pass forward
reader.py   one pass forward, a check without a model, or one block
"""

from zpinch.codec.block import Block, BlockSize, BlockSummary
from zpinch.codec.footer import Footer, IndexEntry
from zpinch.codec.header import ArchiveHeader, check_parts
from zpinch.codec.layout import END_MAGIC, MAGIC, VERSION, images_per_block
from zpinch.codec.reader import ArchiveReader, Salvaged
from zpinch.codec.writer import ArchiveWriter

__all__ = [
    "END_MAGIC",
    "MAGIC",
    "VERSION",
    "ArchiveHeader",
    "ArchiveReader",
    "ArchiveWriter",
    "Block",
    "BlockSize",
    "BlockSummary",
    "Footer",
    "IndexEntry",
    "Salvaged",
    "check_parts",
    "images_per_block",
]
