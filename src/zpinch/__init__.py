"""zpinch: one model that compresses, decompresses and generates your images."""
