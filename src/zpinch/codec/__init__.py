"""The archive as bytes: integer tables, the range coder, the container. NumPy and constriction only, never torch.

    tables.py     how likely each code value is, in integers
    coder.py      codes to payloads and back
    container.py  the file .zpn, block by block

docs/format.md specifies all of it to the bit.
"""
