"""A format a file: each turns its source into a stream of images, or says what is wrong with it."""
