"""How pages are drawn: templates, filters, charts, payloads."""
