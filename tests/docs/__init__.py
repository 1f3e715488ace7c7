"""The documents: links, generated pages, and the code in them."""
