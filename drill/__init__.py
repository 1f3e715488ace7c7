"""The alert drill: breaks real things, and proves that each alert fires, is mended by its page, and ends."""
