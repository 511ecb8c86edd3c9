"""The archive as bytes: integer tables, the range coder, the container. NumPy and constriction only, never torch.

    tables.py     how likely each code value is, in integers
    coder.py      codes to payloads and back
    block.py      images as bytes, framed and verified
    container.py  everything that reads or writes an archive, by its public name

docs/format.md specifies all of it to the bit.
"""
