"""The engine: claims what is due, hands it to an adapter, settles the outcome, rescues what was abandoned."""
