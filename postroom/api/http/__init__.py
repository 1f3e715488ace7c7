"""What every route stands on: limits, errors, pages of lists, HTTP's own metrics."""
