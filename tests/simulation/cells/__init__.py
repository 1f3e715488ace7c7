"""Cells at a scale that nobody has run: docs/explanation/cells.md as events of a simulated clock."""
