"""The channel `task`: functions of an application, called by the runner."""
